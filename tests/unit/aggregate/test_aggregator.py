from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from rows_to_count import make_batch, snapshot

from collector.aggregate.aggregator import AggregateSettings, Aggregator, SeriesCount, merge_points
from collector.aggregate.histogram import FIRST_INDEX, SCALE
from collector.catalog.manifest import Manifest
from collector.instruments import ExponentialBuckets, HistogramValue, Point
from collector.workload import Workload, WorkloadKind

RECORD = {"struct": "flow_row", "ring": "rows", "account": "rows", "key": "flow", "cumulative": ["bytes"], "born": "opened_at"}
ROWS = {"name": "sample.rows", "kind": "counter", "unit": "{row}", "help": "Rows of the sample.", "record": "flow_row"}
SENT = {**ROWS, "name": "sample.io", "unit": "By", "value": "bytes_increase", "identity": ["local", "peer"]}
TOOK = {**ROWS, "name": "sample.duration", "kind": "histogram", "unit": "s", "value": "duration", "buckets": [0.1, 1]}


class Names:
    """Workload numbers and the names behind them, which may come late."""

    def __init__(self) -> None:
        self.known: dict[int, str] = {}

    def resolve(self, number: int) -> Workload:
        return Workload(number, WorkloadKind.UNIT, self.known.get(number, f"unknown-{number}"))


def make(
    *metrics: dict[str, Any], names: Names | None = None, record: dict[str, Any] | None = None, **settings: Any
) -> Aggregator:
    aggregator = Aggregator(AggregateSettings(**settings), (names or Names()).resolve)
    aggregator.add_probe("tcp", manifest(*metrics, record=record or RECORD), {})
    return aggregator


def manifest(*metrics: dict[str, Any], record: dict[str, Any]) -> Manifest:
    hook = {"purpose": "rows", "account": "rows", "alternatives": ["rows"]}
    head = {"question": "What is counted here?", "cost": "nothing", "oldest_kernel": "5.10"}
    return Manifest.model_validate({**head, "hook": [hook], "record": [record], "metric": list(metrics)})


def points(aggregator: Aggregator, instrument: str) -> list[Point]:
    return next(list(one.points) for one in aggregator.snapshot() if one.instrument.name == instrument)


def test_rows_are_joined_then_counted() -> None:
    aggregator = make(ROWS, SENT)
    for size in (10, 25):
        batch = aggregator.join(snapshot(flow=[1], opened_at=[5], bytes=[size]))
        aggregator.add(batch, 1000.0 + size)
    (sent,) = points(aggregator, "sample.io")
    assert (sent.value, sent.started_at) == (25.0, 1010.0)
    assert sent.workload is not None
    assert (sent.workload.name, sent.attributes) == ("unknown-0", {"service.peer.name": "unknown-0"})
    (rows,) = points(aggregator, "sample.rows")
    assert (rows.workload, rows.attributes, rows.value) == (None, {}, 2.0)


def test_records_without_counters_pass_unchanged() -> None:
    plain = {"struct": "flow_row", "ring": "rows", "account": "rows"}
    batch = snapshot(flow=[1, 1])
    assert make(ROWS, record=plain).join(batch) is batch


def test_late_names_decorate_and_join_earlier_series() -> None:
    names = Names()
    aggregator = make(SENT, names=names)
    batch = make_batch(added={"local": [1, 2], "peer": [7, 7]}, flow=[1, 2], opened_at=[5, 5], bytes=[10, 32])
    aggregator.add(aggregator.join(batch), 50.0)
    assert len(points(aggregator, "sample.io")) == 2
    names.known = {1: "nginx", 2: "nginx", 7: "db"}
    (point,) = points(aggregator, "sample.io")
    assert (point.value, point.attributes) == (42.0, {"service.peer.name": "db"})


def test_histograms_of_one_workload_are_added_too() -> None:
    names = Names()
    names.known = {1: "nginx", 2: "nginx"}
    aggregator = make({**TOOK, "identity": ["local"]}, names=names, exponential=True)
    batch = make_batch(added={"local": [1, 2, 2]}, flow=[1, 2, 3], duration=[50_000_000, 2_000_000_000, 0])
    aggregator.add(aggregator.join(batch), 50.0)
    (point,) = points(aggregator, "sample.duration")
    assert isinstance(point.value, HistogramValue)
    assert (list(point.value.counts), point.value.count) == ([2, 0, 1], 3)
    assert point.value.sum == pytest.approx(2.05)
    exponential = point.value.exponential
    assert exponential is not None
    assert (exponential.scale, exponential.offset, exponential.zero_count, sum(exponential.counts)) == (SCALE, FIRST_INDEX, 1, 2)


def test_merging_adds_values_and_keeps_the_earliest_start() -> None:
    nginx, other = Workload(1, WorkloadKind.UNIT, "nginx"), Workload(2, WorkloadKind.UNIT, "other")
    twin = Workload(3, WorkloadKind.UNIT, "nginx")
    merged = merge_points(
        [
            Point(nginx, {"a": 1, "b": 2}, 1.0, 30.0),
            Point(other, {"a": 1, "b": 2}, 2.0, 20.0),
            Point(twin, {"b": 2, "a": 1}, 4.0, 10.0),
            Point(None, {"a": 1, "b": 2}, 8.0, 5.0),
            Point(twin, {"a": 1}, 16.0, 10.0),
        ]
    )
    assert [(point.value, point.started_at) for point in merged] == [(5.0, 10.0), (2.0, 20.0), (8.0, 5.0), (16.0, 10.0)]


def test_merging_histograms_adds_every_bucket() -> None:
    first = HistogramValue([1, 0, 2], 5.0, 3, ExponentialBuckets(2, 1, -80, [1, 1]))
    second = HistogramValue([0, 4, 1], 7.0, 5, ExponentialBuckets(2, 0, -80, [2, 3]))
    (point,) = merge_points([Point(None, {}, first, 1.0), Point(None, {}, second, 2.0)])
    assert point.value == HistogramValue([1, 4, 3], 12.0, 8, ExponentialBuckets(2, 1, -80, [3, 4]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "nothing"}, {"where": {"nothing": True}}, {"where": {"event": ["gone"]}}, {"attributes": {"a.b": "nothing"}},
        {"value": "address"}, {"known": ["address"]}, {"identity": ["local"], "known": ["remote"]},
    ],
)  # fmt: skip
def test_metric_that_does_not_fit_is_named_once_and_the_others_go_on(
    wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    aggregator = make({**ROWS, "name": "sample.wrong", **wrong}, ROWS)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            aggregator.add(aggregator.join(make_batch(flow=[1, 2])), 1.0)
    assert [record.getMessage().partition(" is")[0] for record in caplog.records] == ["metric sample.wrong"]
    assert aggregator.rejected == {"sample.wrong": 6}
    assert points(aggregator, "sample.rows")[0].value == 6.0
    assert points(aggregator, "sample.wrong") == []


def test_metric_of_a_second_probe_with_a_name_that_is_taken_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    aggregator = make(ROWS)
    with caplog.at_level(logging.WARNING):
        aggregator.add_probe("own", manifest({**ROWS, "kind": "gauge"}, record=RECORD), {})
    assert "metric sample.rows of probe own is left out" in caplog.text
    own = make_batch(flow=[1, 2])
    own.schema = type(own.schema)("own", "flow_row", own.schema.dtype, own.schema.fields)
    aggregator.add(own, 1.0)
    aggregator.add(make_batch(flow=[1]), 1.0)
    assert [point.value for point in points(aggregator, "sample.rows")] == [1.0]
    assert aggregator.rejected == {"sample.rows": 2}


def test_two_probes_feed_one_instrument() -> None:
    aggregator = make(ROWS)
    aggregator.add_probe("own", manifest(ROWS, record=RECORD), {})
    own = make_batch(flow=[1, 2])
    own.schema = type(own.schema)("own", "flow_row", own.schema.dtype, own.schema.fields)
    aggregator.add(own, 1.0)
    aggregator.add(make_batch(flow=[1]), 2.0)
    assert [(point.value, point.started_at) for point in points(aggregator, "sample.rows")] == [(3.0, 1.0)]
    assert [count.active for count in aggregator.counts()] == [2]


def test_limit_on_series_is_told_and_counted() -> None:
    aggregator = make({**SENT, "identity": ["local"]}, max_series=2)
    batch = make_batch(added={"local": [1, 2, 3, 3]}, flow=[1, 2, 3, 4], opened_at=[1] * 4, bytes=[1, 2, 4, 8])
    aggregator.add(aggregator.join(batch), 1.0)
    assert aggregator.counts() == [SeriesCount("sample.io", 2, 2, 0)]
    over = [point for point in points(aggregator, "sample.io") if point.attributes]
    assert [(point.attributes, point.value, point.workload) for point in over] == [({"otel.metric.overflow": True}, 12.0, None)]
    assert (
        sum(float(point.value) for point in points(aggregator, "sample.io") if not isinstance(point.value, HistogramValue)) == 15
    )


def test_series_of_gone_workloads_go_when_they_are_idle() -> None:
    aggregator = make({**SENT, "identity": ["local"]})
    for now, local in ((100.0, [1, 2]), (200.0, [3, 4])):
        batch = make_batch(added={"local": local}, flow=[local[0], local[1]], opened_at=[1, 1], bytes=[1, 1])
        aggregator.add(aggregator.join(batch), now)
    removed = aggregator.remove_series_of(lambda number: 150.0 if number in (1, 3) else -math.inf)
    assert [(instrument.name, point.value) for instrument, point in removed] == [("sample.io", 1.0)]
    left = [point.workload.number for point in points(aggregator, "sample.io") if point.workload]
    assert sorted(left) == [2, 3, 4]
    assert aggregator.counts()[0].evicted == 1


def test_series_of_gone_peers_with_the_same_name_become_one_whose_sum_stays() -> None:
    names = Names()
    names.known = dict.fromkeys((2, 3, 4), "cart")
    aggregator = make(SENT, names=names)
    for now, amount in ((100.0, 1), (200.0, 10)):
        columns = {"local": [1, 1, 1], "peer": [2, 3, 4]}
        batch = make_batch(added=columns, flow=[1, 2, 3], opened_at=[1, 1, 1], bytes=[amount, 2 * amount, 4 * amount])
        aggregator.add(aggregator.join(batch), now)
    before = [(point.value, point.started_at) for point in points(aggregator, "sample.io")]
    assert before == [(77.0, 100.0)], "three peers, one name"
    aggregator.fold_series_of_peers(lambda number: number in (2, 3))
    assert [(point.value, point.started_at) for point in points(aggregator, "sample.io")] == before
    assert aggregator.counts()[0].active == 2
    aggregator.fold_series_of_peers(lambda number: number in (2, 3))
    assert aggregator.counts()[0].active == 2, "the last one of a name stays"
    assert aggregator.numbers() >= {1, 4} and len(aggregator.numbers()) == 3


def test_series_about_gone_peers_go_when_they_are_idle_though_their_owner_lives() -> None:
    names = Names()
    names.known = {2: "job-a", 3: "job-b", 4: "cart"}
    aggregator = make(SENT, names=names)
    for now, peers in ((100.0, [2, 3, 4]), (200.0, [3])):
        columns = {"local": [1] * len(peers), "peer": peers}
        batch = make_batch(added=columns, flow=peers, opened_at=[1] * len(peers), bytes=[int(now)] * len(peers))
        aggregator.add(aggregator.join(batch), now)
    removed = aggregator.remove_series_of(lambda _: -math.inf, lambda peer: 150.0 if peer in (2, 3) else -math.inf)
    assert [point.attributes["service.peer.name"] for _, point in removed] == ["job-a"]
    left = {point.attributes["service.peer.name"] for point in points(aggregator, "sample.io")}
    assert left == {"job-b", "cart"}, "one was added to lately, the other exists"


@pytest.mark.parametrize("announced", [True, False])
def test_only_records_that_announce_their_end_can_lose_it(announced: bool) -> None:
    silent = {"struct": "flow_row", "map": "rows", "key": "flow", "cumulative": ["bytes"]}
    aggregator = make(ROWS, record=RECORD if announced else silent)
    for flows in ([1, 2], [], [], []):
        aggregator.join(snapshot(flow=flows, bytes=flows))
    assert aggregator.vanished() == ({("tcp", "flow_row"): 2} if announced else {})


def test_records_of_a_map_are_known_by_its_key() -> None:
    record = {"struct": "flow_row", "map": "rows", "cumulative": ["bytes"]}
    aggregator = Aggregator(AggregateSettings(), Names().resolve)
    aggregator.add_probe("tcp", manifest(ROWS, record=record), {"flow_row": ("port", "event")})
    aggregator.join(snapshot(port=[80, 443], event=[0, 0], bytes=[10, 20]))
    joined = aggregator.join(snapshot(port=[443, 80, 80], event=[0, 0, 1], bytes=[21, 12, 5]))
    assert joined["bytes_increase"].tolist() == [1, 2, 5]


def test_removed_probe_leaves_nothing_and_others_stay() -> None:
    aggregator = make(ROWS)
    other = manifest({**ROWS, "name": "other.rows"}, ROWS, record=RECORD)
    aggregator.add_probe("udp", other, {})
    aggregator.add(snapshot(flow=[1], opened_at=[5], bytes=[10]), 1.0)
    aggregator.remove_probe("udp")
    assert [one.instrument.name for one in aggregator.snapshot()] == ["sample.rows"]
    assert points(aggregator, "sample.rows")[0].value == 1.0
    aggregator.remove_probe("tcp")
    assert aggregator.snapshot() == []
    aggregator.add_probe("tcp", manifest(ROWS, record=RECORD), {})
    assert points(aggregator, "sample.rows") == []


def test_histogram_that_the_kernel_counted_takes_each_value_as_often_as_it_occurred() -> None:
    counted = {**TOOK, "value": "flow", "weight": "bytes", "unit": "us", "buckets": [1, 3, 7]}
    aggregator = make(counted)
    aggregator.add(snapshot(flow=[1, 7, 9], opened_at=[5, 5, 5], bytes=[10, 20, 0]), 1.0)
    (point,) = points(aggregator, "sample.duration")
    assert isinstance(point.value, HistogramValue)
    assert point.value.counts == [10, 0, 20, 0]
    assert point.value.sum == 150.0
