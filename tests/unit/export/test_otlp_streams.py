from collections.abc import Iterable

import pytest

from collector.export.otlp_streams import Request, StreamGrouping
from collector.export.resource import read_resources
from collector.instruments import (
    ExponentialBuckets,
    HistogramValue,
    Instrument,
    InstrumentKind,
    InstrumentSnapshot,
    Point,
    Snapshot,
)
from collector.workload import Workload, WorkloadKind

IO = Instrument("tcp.io", InstrumentKind.COUNTER, "By", "Payload.")
RTT = Instrument("tcp.rtt", InstrumentKind.HISTOGRAM, "s", "RTT.", (1.0,))
OPEN = Instrument("tcp.open", InstrumentKind.GAUGE, "", "Open.")
BALANCE = Instrument("tcp.balance", InstrumentKind.UPDOWNCOUNTER, "", "Balance.")
RESOURCES = read_resources({}, "node-1", "abc", "1")


def grouping(temporality: str = "cumulative", exponential: bool = False) -> StreamGrouping:
    return StreamGrouping(RESOURCES, temporality, exponential)


def unit(number: int, name: str) -> Workload:
    return Workload(number, WorkloadKind.UNIT, name)


def shapes(requests: Iterable[Request]) -> list[list[tuple[str, str, int]]]:
    return [[(run.resource["service.name"], run.instrument.name, len(run.streams)) for run in one.runs] for one in requests]


def test_streams_of_one_workload_are_together_whatever_their_instrument() -> None:
    nginx, redis = unit(1, "nginx"), unit(2, "redis")
    snapshot = Snapshot(
        100.0,
        [
            InstrumentSnapshot(IO, [Point(nginx, {}, 1.0, 1.0), Point(redis, {}, 2.0, 1.0), Point(None, {}, 3.0, 1.0)]),
            InstrumentSnapshot(OPEN, [Point(redis, {}, 4.0, 1.0), Point(nginx, {"a": 1}, 5.0, 1.0), Point(nginx, {}, 6.0, 1.0)]),
        ],
    )
    of_nginx, of_redis = [("nginx", "tcp.io", 1), ("nginx", "tcp.open", 2)], [("redis", "tcp.io", 1), ("redis", "tcp.open", 1)]
    wanted = [[*of_nginx, *of_redis, ("honeyguide", "tcp.io", 1)]]
    assert shapes(grouping().requests(snapshot, 100)) == wanted


def test_workloads_with_the_same_names_are_one_resource_and_their_streams_are_summed() -> None:
    points = [Point(unit(1, "nginx"), {}, 1.0, 9.0), Point(unit(2, "nginx"), {}, 2.0, 5.0)]
    (request,) = grouping().requests(Snapshot(100.0, [InstrumentSnapshot(IO, points)]), 100)
    assert [(stream.value, stream.started_at) for stream in request.runs[0].streams] == [(3.0, 5.0)]


def test_request_holds_no_more_than_its_points() -> None:
    points = [Point(unit(1, "nginx"), {"n": number}, 1.0, 1.0) for number in range(7)]
    points += [Point(unit(2, "redis"), {"n": number}, 1.0, 1.0) for number in range(2)]
    requests = list(grouping().requests(Snapshot(100.0, [InstrumentSnapshot(IO, points)]), 3))
    assert [request.points for request in requests] == [3, 3, 3]
    assert shapes(requests)[2] == [("nginx", "tcp.io", 1), ("redis", "tcp.io", 2)]


def test_empty_snapshot_makes_no_request() -> None:
    assert list(grouping().requests(Snapshot(1.0, [InstrumentSnapshot(IO, [])]), 10)) == []


@pytest.mark.parametrize(
    ("temporality", "deltas"),
    [
        ("cumulative", set()),
        ("delta", {("nginx", "tcp.io"), ("nginx", "tcp.rtt"), ("honeyguide", "tcp.io"), ("honeyguide", "tcp.rtt")}),
        ("lowmemory", {("nginx", "tcp.io"), ("nginx", "tcp.rtt"), ("honeyguide", "tcp.rtt")}),
    ],
)
def test_temporality_depends_on_kind_and_preference(temporality: str, deltas: set[tuple[str, str]]) -> None:
    value = HistogramValue([1, 0], 1.0, 1)
    snapshot = Snapshot(
        100.0,
        [
            InstrumentSnapshot(one, [Point(owner, {}, value if one is RTT else 1.0, 1.0) for owner in (unit(1, "nginx"), None)])
            for one in (IO, RTT, OPEN, BALANCE)
        ],
    )
    (request,) = grouping(temporality).requests(snapshot, 100)
    assert {(run.resource["service.name"], run.instrument.name) for run in request.runs if run.delta} == deltas


def test_unchanged_delta_streams_are_left_out_and_their_interval_moves_on() -> None:
    group = grouping("delta")

    def sent(value: float, taken_at: float) -> list[tuple[object, float]]:
        snapshot = Snapshot(taken_at, [InstrumentSnapshot(IO, [Point(unit(1, "nginx"), {}, value, 1.0)])])
        requests = list(group.requests(snapshot, 10))
        for request in requests:
            group.tracker.deliver(request.deltas())
        return [(stream.value, stream.started_at) for one in requests for run in one.runs for stream in run.streams]

    assert [sent(5.0, 10.0), sent(5.0, 20.0), sent(6.0, 30.0)] == [[(5.0, 1.0)], [], [(1.0, 20.0)]]


def test_delta_of_merged_series_delivers_both() -> None:
    group = grouping("delta")
    points = [Point(unit(1, "nginx"), {}, 1.0, 1.0), Point(unit(2, "nginx"), {}, 2.0, 1.0)]
    (request,) = group.requests(Snapshot(100.0, [InstrumentSnapshot(IO, points)]), 100)
    group.tracker.deliver(request.deltas())
    assert len(group.tracker) == 2
    assert list(group.requests(Snapshot(110.0, [InstrumentSnapshot(IO, points)]), 100)) == []


def test_exponential_is_used_only_when_every_series_has_it() -> None:
    buckets = ExponentialBuckets(2, 0, -3, [1])
    full, bare = HistogramValue([1, 0], 1.0, 1, buckets), HistogramValue([1, 0], 1.0, 1)
    for values, wanted in (([full, full], True), ([full, bare], False)):
        points = [Point(None, {"n": number}, value, 1.0) for number, value in enumerate(values)]
        (request,) = grouping(exponential=True).requests(Snapshot(2.0, [InstrumentSnapshot(RTT, points)]), 10)
        assert request.runs[0].exponential is wanted
