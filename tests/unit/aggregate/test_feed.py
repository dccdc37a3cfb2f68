from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_to_count import EVENTS, ipv4, make_batch, snapshot

from collector.aggregate.batch_groups import BatchGroups
from collector.aggregate.feed import Feed
from collector.aggregate.group_numbers import GroupNumbers
from collector.aggregate.histogram import BucketLayout
from collector.aggregate.series import Labels, SeriesTable
from collector.batch import Batch
from collector.catalog.manifest import Metric
from collector.instruments import HistogramValue, InstrumentKind


def make_feed(**keys: Any) -> Feed:
    described = {"name": "sample.rows", "kind": "counter", "unit": "{row}", "help": "Rows of the sample.", "record": "flow_row"}
    metric = Metric.model_validate(described | keys)
    layout = BucketLayout(metric.instrument().buckets) if metric.kind is InstrumentKind.HISTOGRAM else None
    return Feed(metric, SeriesTable(layout.width if layout else 1, 100), layout)


NUMBERS = GroupNumbers(limit=12)


def add(feed: Feed, batch: Batch, now: float) -> None:
    feed.add(BatchGroups(batch, frozenset({"local", "peer", "event"}), NUMBERS), now)


def shown(feed: Feed) -> dict[tuple[object, ...], float]:
    """(local, peer, attribute values in order of their names) -> value."""
    return {key_of(labels): float(feed.table.values[place][0]) for place, labels in feed.table.active()}


def key_of(labels: Labels) -> tuple[object, ...]:
    return (labels.local, labels.peer, *(value for _, value in sorted(labels.attributes.items())))


def test_rows_are_counted_by_identity_and_attributes() -> None:
    feed = make_feed(identity=["local", "peer"], attributes={"flow.event": "event", "server.address": "address"})
    there = ipv4("10.0.0.1")
    batch = make_batch(
        added={"local": [3, 3, 3, 4], "peer": [0, 0, 9, 0]}, event=[1, 1, 1, 2], address=[there, there, there, ipv4("10.0.0.2")]
    )
    add(feed, batch, 1.0)
    add(feed, batch, 2.0)
    assert shown(feed) == {(3, 0, "closed", "10.0.0.1"): 4, (3, 9, "closed", "10.0.0.1"): 2, (4, 0, "failed", "10.0.0.2"): 2}


def test_side_that_the_metric_does_not_have_is_not_told_apart() -> None:
    feed = make_feed(identity=["local"])
    add(feed, make_batch(added={"local": [1, 1, 2], "peer": [5, 6, 7]}, flow=[1, 2, 3]), 1.0)
    assert shown(feed) == {(1, -1): 2, (2, -1): 1}


def test_conditions_of_metric_and_series_hold_together() -> None:
    series = [
        {"value": "bytes", "with": {"direction": "sent"}},
        {"value": "segments", "where": {"last": True}, "with": {"direction": "received"}},
    ]
    feed = make_feed(series=series, where={"event": ["open", "closed"]}, known=["flow"])
    batch = make_batch(
        flow=[1, 2, 3, 0], event=[0, 1, 2, 0], last=[True, False, True, True], bytes=[10, 20, 40, 80], segments=[1] * 4
    )
    add(feed, batch, 1.0)
    assert shown(feed) == {(-1, -1, "sent"): 30, (-1, -1, "received"): 1}


def test_parts_are_counted_apart_by_their_constants() -> None:
    feed = make_feed(series=[{"value": "bytes"}, {"value": "segments", "with": {"kind": "segments"}}])
    add(feed, make_batch(flow=[1], bytes=[7], segments=[3]), 1.0)
    assert sorted(shown(feed).values()) == [3, 7]


def test_counter_makes_no_series_for_what_never_happened() -> None:
    feed = make_feed(value="bytes", identity=["local"])
    add(feed, make_batch(added={"local": [1, 2, 2]}, bytes=[0, 0, 4]), 1.0)
    assert shown(feed) == {(2, -1): 4}


@pytest.mark.parametrize(
    ("unit", "value", "given_value", "sum_of_it"),
    [("s", "duration", 1_500_000_000, 1.5), ("s", "rtt", 2500, 0.0025), ("ns", "duration", 7, 7.0)],
)
def test_durations_are_given_in_seconds_when_that_is_the_unit(unit: str, value: str, given_value: int, sum_of_it: float) -> None:
    feed = make_feed(kind="histogram", unit=unit, value=value, buckets=[0.001, 1])
    columns: dict[str, Any] = {value: [given_value]}
    add(feed, make_batch(**columns), 1.0)
    assert feed.buckets is not None
    ((place, _),) = feed.table.active()
    counted = feed.buckets.value(feed.table.values[place])
    assert counted.sum == pytest.approx(sum_of_it)
    assert counted.count == 1


def test_increase_of_a_duration_is_scaled_too() -> None:
    feed = make_feed(unit="s", value="duration_increase")
    add(feed, make_batch(added={"duration_increase": [2_000_000_000]}, flow=[1]), 1.0)
    assert shown(feed) == {(-1, -1): 2.0}


def test_gauge_is_what_the_last_snapshot_says() -> None:
    feed = make_feed(kind="gauge", identity=["local"], where={"event": ["open"]})
    batch = snapshot(event=[0, 0, 0, 1])
    batch.columns["local"][:] = [1, 1, 2, 2]
    add(feed, batch, 1.0)
    assert shown(feed) == {(1, -1): 2, (2, -1): 1}
    later = snapshot(event=[0])
    later.columns["local"][:] = 2
    add(feed, later, 2.0)
    assert shown(feed) == {(1, -1): 0, (2, -1): 1}
    add(feed, make_batch(event=[0, 0]), 3.0)
    assert shown(feed) == {(1, -1): 0, (2, -1): 1}
    add(feed, snapshot(event=[]), 4.0)
    assert shown(feed) == {(1, -1): 0, (2, -1): 0}


def test_updowncounter_keeps_what_it_counted() -> None:
    feed = make_feed(kind="updowncounter", value="error")
    for change in (5, -3):
        add(feed, make_batch(error=[change]), 1.0)
    assert shown(feed) == {(-1, -1): 2}


@pytest.mark.parametrize(
    "keys", [{"value": "nothing"}, {"attributes": {"a.b": "nothing"}}, {"known": ["nothing"]}, {"where": {"nothing": True}}]
)
def test_column_that_is_missing_is_an_error_not_a_wrong_number(keys: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        add(make_feed(**keys), make_batch(flow=[1]), 1.0)


ROW = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2**40), st.sampled_from([b"", b"sh", b"nginx"]))


@settings(deadline=None)
@given(st.lists(st.lists(ROW, max_size=30), max_size=4))
def test_any_batches_are_grouped_as_a_dictionary_would(batches: list[list[tuple[int, int, int, bytes]]]) -> None:
    keys = {"identity": ["local"], "attributes": {"a.event": "event", "b.command": "command"}}
    counter = make_feed(value="bytes", where={"event": ["open", "failed"]}, **keys)
    histogram = make_feed(kind="histogram", value="bytes", buckets=[10, 1000], **keys)
    wanted, counted = Counter[tuple[object, ...]](), Counter[tuple[object, ...]]()
    for rows in batches:
        local, event, size, command = ([row[place] for row in rows] for place in range(4))
        batch: Batch = make_batch(added={"local": local}, event=event, bytes=size, command=command)
        add(counter, batch, 1.0)
        add(histogram, batch, 1.0)
        for row in rows:
            key = (row[0], -1, EVENTS[row[1]], *filter(None, [row[3].decode()]))
            counted[key] += 1
            wanted[key] += row[2] if row[1] != 1 else 0
    assert shown(counter) == {key: size for key, size in wanted.items() if size}
    assert histogram.buckets is not None
    values: dict[tuple[object, ...], HistogramValue] = {
        key_of(labels): histogram.buckets.value(histogram.table.values[place]) for place, labels in histogram.table.active()
    }
    assert {key: value.count for key, value in values.items()} == dict(counted)


def test_attributes_of_many_values_are_grouped_batch_by_batch() -> None:
    feed = make_feed(attributes={"server.port": "port"}, where={"event": ["open"]})
    for _ in range(2):
        add(feed, make_batch(port=[80, 443, 80, 22], event=[0, 0, 0, 1]), 1.0)
    assert shown(feed) == {(-1, -1, 80): 4, (-1, -1, 443): 2}


def test_series_that_was_removed_comes_back_by_its_labels() -> None:
    feed = make_feed(identity=["local"])
    batch = make_batch(added={"local": [1, 2]}, flow=[1, 2])
    add(feed, batch, 1.0)
    (place,) = (place for place, labels in feed.table.active() if labels.local == 1)
    feed.table.remove(place)
    add(feed, make_batch(added={"local": [3]}, flow=[1]), 2.0)
    add(feed, batch, 3.0)
    assert shown(feed) == {(1, -1): 1, (2, -1): 2, (3, -1): 1}


def test_counter_that_moves_later_gets_its_series_then() -> None:
    feed = make_feed(value="segments", identity=["local"])
    for segments in (0, 0, 5, 0, 2):
        add(feed, make_batch(added={"local": [1]}, segments=[segments]), 1.0)
    assert shown(feed) == {(1, -1): 7}


def test_rows_over_the_limit_are_counted_one_by_one() -> None:
    feed = make_feed(identity=["local"], value="bytes")
    feed.table.limit = 2
    for _ in range(2):
        add(feed, make_batch(added={"local": [1, 2, 3, 4, 3]}, bytes=[1, 1, 10, 0, 10]), 1.0)
    assert feed.table.overflowed == 4
    assert shown(feed) == {(1, -1): 2, (2, -1): 2, (-1, -1, True): 40}
