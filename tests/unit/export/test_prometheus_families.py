from collector.export.prometheus_families import Family, families
from collector.instruments import HistogramValue, Instrument, InstrumentKind, InstrumentSnapshot, Point, Snapshot
from collector.workload import Workload, WorkloadKind

IO = Instrument("honeyguide.tcp.io", InstrumentKind.COUNTER, "By", "TCP payload.")
RTT = Instrument("honeyguide.tcp.rtt", InstrumentKind.HISTOGRAM, "s", "Round trips.", (0.1, 1.0))


def only_family(instrument: Instrument, *points: Point) -> Family:
    (family,) = families(Snapshot(100.0, [InstrumentSnapshot(instrument, points)]))
    return family


def labelled(family: Family) -> list[tuple[dict[str, str], float | HistogramValue]]:
    return [(dict(zip(family.label_names, key, strict=True)), row.value) for key, row in family.rows.items()]


def unit(number: int, name: str) -> Workload:
    return Workload(number, WorkloadKind.UNIT, name)


def test_labels_are_workload_and_attributes() -> None:
    family = only_family(IO, Point(unit(1, "nginx"), {"network.io.direction": "transmit", "server.port": 80}, 5.0, 1.0))
    wanted = {
        "service_name": "nginx",
        "honeyguide_workload_kind": "unit",
        "network_io_direction": "transmit",
        "server_port": "80",
    }
    assert labelled(family) == [(wanted, 5.0)]


def test_every_series_of_a_family_has_the_same_labels() -> None:
    family = only_family(IO, Point(None, {"a": "1"}, 1.0, 1.0), Point(None, {"b": "2"}, 2.0, 1.0))
    assert labelled(family) == [({"a": "1", "b": ""}, 1.0), ({"a": "", "b": "2"}, 2.0)]


def test_series_that_became_equal_are_summed() -> None:
    points = [Point(unit(1, "nginx"), {}, 5.0, 7.0), Point(unit(2, "nginx"), {}, 6.0, 3.0)]
    family = only_family(IO, *points)
    assert [(row.value, row.started_at) for row in family.rows.values()] == [(11.0, 3.0)]


def test_histograms_that_became_equal_are_summed() -> None:
    value = HistogramValue([1, 2, 3], 4.5, 6)
    family = only_family(RTT, Point(None, {"a b": "x"}, value, 1.0), Point(None, {"a.b": "x"}, value, 1.0))
    assert [row.value for row in family.rows.values()] == [HistogramValue([2, 4, 6], 9.0, 12)]


def test_attributes_that_become_one_label_keep_both_values() -> None:
    assert labelled(only_family(IO, Point(None, {"a.b": "1", "a_b": "2"}, 1.0, 1.0))) == [({"a_b": "1;2"}, 1.0)]


def test_a_missing_label_and_an_empty_one_are_the_same_series() -> None:
    family = only_family(IO, Point(None, {"a": ""}, 1.0, 1.0), Point(None, {}, 2.0, 1.0))
    assert labelled(family) == [({"a": ""}, 3.0)]


def test_instrument_without_series_is_left_out() -> None:
    assert families(Snapshot(1.0, [InstrumentSnapshot(IO, [])])) == []


def test_instruments_that_differ_only_by_dots_share_a_family() -> None:
    twin = Instrument("honeyguide.tcp_io", InstrumentKind.COUNTER, "By", "The same.")
    snapshot = Snapshot(
        1.0,
        [
            InstrumentSnapshot(IO, [Point(None, {"a": "1"}, 1.0, 1.0)]),
            InstrumentSnapshot(twin, [Point(None, {"b": "1"}, 2.0, 1.0), Point(None, {"a": "1"}, 4.0, 1.0)]),
        ],
    )
    (family,) = families(snapshot)
    assert labelled(family) == [({"a": "1", "b": ""}, 5.0), ({"a": "", "b": "1"}, 2.0)]


def test_instruments_whose_samples_would_collide_get_names_of_their_own() -> None:
    point = Point(None, {}, 1.0, 1.0)
    instruments = [
        Instrument("flow", InstrumentKind.HISTOGRAM, "", "", (1.0,)),
        Instrument("flow.count", InstrumentKind.GAUGE, "", ""),
        Instrument("flow", InstrumentKind.HISTOGRAM, "", "", (2.0,)),
        Instrument("flow", InstrumentKind.HISTOGRAM, "", "", (3.0,)),
    ]
    values: list[float | HistogramValue] = [
        HistogramValue([1, 0], 1.0, 1),
        1.0,
        HistogramValue([1, 0], 1.0, 1),
        HistogramValue([1, 0], 1.0, 1),
    ]
    points = [Point(None, {}, value, point.started_at) for value in values]
    snapshot = Snapshot(1.0, [InstrumentSnapshot(one, [value]) for one, value in zip(instruments, points, strict=True)])
    assert [family.name for family in families(snapshot)] == ["flow", "flow_count_gauge", "flow_histogram", "flow_histogram_2"]
