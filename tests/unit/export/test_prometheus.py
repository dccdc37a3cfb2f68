import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from collector.export.prometheus import CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_PLAIN, render, wants_openmetrics
from collector.export.prometheus_registry import SnapshotCollector
from collector.instruments import Exemplar, HistogramValue, Instrument, InstrumentKind, InstrumentSnapshot, Point, Snapshot
from collector.workload import Workload, WorkloadKind

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
RESOURCE = {"service.name": "honeyguide", "host.name": "node-1"}

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
ATTRIBUTES = st.dictionaries(st.sampled_from(["a.b", "a_b", "le", "service.peer.name"]), TEXT | st.integers() | st.booleans())
WORKLOADS = st.none() | st.builds(Workload, st.integers(0, 3), st.sampled_from(WorkloadKind), TEXT)
NUMBERS = st.floats(allow_nan=False) | st.integers(0, 2**40).map(float)


def points_with(values: st.SearchStrategy[float | HistogramValue]) -> st.SearchStrategy[list[Point]]:
    return st.lists(st.builds(Point, WORKLOADS, ATTRIBUTES, values, st.floats(0, 1e9)), max_size=6)


def make_histogram(counts: list[int], exemplars: dict[int, Exemplar]) -> HistogramValue:
    return HistogramValue(counts, 0.5 * sum(counts), sum(counts), None, exemplars)


EXEMPLARS = st.builds(
    Exemplar, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.floats(0, 1e9), st.floats(0, 2e9)
)
COUNTS = st.builds(
    make_histogram,
    st.lists(st.integers(0, 1000), min_size=3, max_size=3),
    st.dictionaries(st.integers(0, 2), EXEMPLARS, max_size=3),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    numbers, histograms = points_with(st.floats(0, 1e15)), points_with(COUNTS)
    return Snapshot(
        taken_at=1e9,
        instruments=[
            InstrumentSnapshot(Instrument("tcp.io", InstrumentKind.COUNTER, "By", 'Payload,\n"all" of \\it.'), draw(numbers)),
            InstrumentSnapshot(Instrument("tcp.rtt", InstrumentKind.HISTOGRAM, "s", "RTT.", (0.1, 5.0)), draw(histograms)),
            InstrumentSnapshot(Instrument("ring.fill", InstrumentKind.GAUGE, "1", "Fill."), draw(points_with(NUMBERS))),
            InstrumentSnapshot(Instrument("open", InstrumentKind.UPDOWNCOUNTER, "{socket}", "Open."), draw(numbers)),
        ],
    )


def comparable(metrics: Iterable[Metric]) -> list[tuple[str, str, str, str, list[object]]]:
    return [
        (
            metric.name,
            metric.type,
            metric.unit,
            metric.documentation,
            [(*tuple(sample)[:3], sample.exemplar) for sample in metric.samples],
        )
        for metric in metrics
    ]


@given(snapshots())
def test_text_page_says_what_prometheus_client_would_say(snapshot: Snapshot) -> None:
    check_against_library(snapshot, "text/plain", generate_latest, parse_text)


@given(snapshots())
def test_openmetrics_page_says_what_prometheus_client_would_say(snapshot: Snapshot) -> None:
    check_against_library(snapshot, "application/openmetrics-text", generate_openmetrics, parse_openmetrics)


def check_against_library(
    snapshot: Snapshot,
    accept: str,
    generate: Callable[[CollectorRegistry], bytes],
    parse: Callable[[str], Iterable[Metric]],
) -> None:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: snapshot, RESOURCE))
    pieces, _ = render(snapshot, accept, RESOURCE)
    assert comparable(parse(b"".join(pieces).decode())) == comparable(parse(generate(registry).decode()))


def test_page_of_each_kind_reads_as_expected() -> None:
    snapshot = Snapshot(
        100.0,
        [
            InstrumentSnapshot(
                Instrument("honeyguide.tcp.io", InstrumentKind.COUNTER, "By", "TCP payload."),
                [Point(Workload(1, WorkloadKind.UNIT, 'a "b"\\'), {"network.io.direction": "transmit"}, 12345678.0, 1.0)],
            ),
            InstrumentSnapshot(
                Instrument("dns.lookup.duration", InstrumentKind.HISTOGRAM, "s", "Lookups.", (0.001, 1)),
                [Point(None, {}, HistogramValue([1, 2, 3], 7.25, 6), 1.0)],
            ),
        ],
    )
    pieces, content_type = render(snapshot, PROMETHEUS_2_42, {"service.name": "honeyguide"})
    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert b"".join(pieces).decode().splitlines() == [
        "# HELP target The agent that exports these metrics.",
        "# TYPE target info",
        'target_info{service_name="honeyguide"} 1',
        "# HELP honeyguide_tcp_io_bytes TCP payload.",
        "# TYPE honeyguide_tcp_io_bytes counter",
        "# UNIT honeyguide_tcp_io_bytes bytes",
        "honeyguide_tcp_io_bytes_total{"
        r'honeyguide_workload_kind="unit",network_io_direction="transmit",service_name="a \"b\"\\"} 12345678',
        "# HELP dns_lookup_duration_seconds Lookups.",
        "# TYPE dns_lookup_duration_seconds histogram",
        "# UNIT dns_lookup_duration_seconds seconds",
        'dns_lookup_duration_seconds_bucket{le="0.001"} 1',
        'dns_lookup_duration_seconds_bucket{le="1.0"} 3',
        'dns_lookup_duration_seconds_bucket{le="+Inf"} 6',
        "dns_lookup_duration_seconds_count 6",
        "dns_lookup_duration_seconds_sum 7.25",
        "# EOF",
    ]


def test_text_page_has_the_total_in_the_type_line() -> None:
    instrument = Instrument("runs", InstrumentKind.COUNTER, "", "Runs.")
    pieces, content_type = render(Snapshot(1.0, [InstrumentSnapshot(instrument, [Point(None, {}, 0.5, 1.0)])]), "")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"".join(pieces) == b"# HELP runs_total Runs.\n# TYPE runs_total counter\nruns_total 0.5\n"


def test_numbers_that_are_none_are_written() -> None:
    instrument = Instrument("g", InstrumentKind.GAUGE, "", "G.")
    points = [Point(None, {"n": str(n)}, value, 1.0) for n, value in enumerate([math.nan, math.inf, -math.inf, 2.0**70])]
    pieces, _ = render(Snapshot(1.0, [InstrumentSnapshot(instrument, points)]), "")
    lines = b"".join(pieces).decode().splitlines()
    assert [line.split()[-1] for line in lines[2:]] == ["NaN", "+Inf", "-Inf", "1.1805916207174113e+21"]


def test_a_process_name_that_is_no_unicode_does_not_break_the_page() -> None:
    instrument = Instrument("g", InstrumentKind.GAUGE, "", "G.")
    workload = Workload(1, WorkloadKind.PROCESS, "caf\udce9")
    pieces, _ = render(Snapshot(1.0, [InstrumentSnapshot(instrument, [Point(workload, {}, 1.0, 1.0)])]), "")
    assert b'service_name="caf?"' in b"".join(pieces)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; q=0.5, text/plain; q=0.4", True),
        ("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.8", False),
        ("application/openmetrics-text;version=9.9.9", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nonsense", False),
        (PROMETHEUS_2_42, True),
    ],
)
def test_format_follows_the_accept_header(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


def test_formats_are_named_as_prometheus_client_names_them() -> None:
    assert (CONTENT_TYPE_PLAIN, CONTENT_TYPE_OPENMETRICS) == (CONTENT_TYPE_PLAIN_0_0_4, CONTENT_TYPE_LATEST)


@given(st.text())
def test_any_accept_header_gets_a_page(accept: str) -> None:
    assert next(render(Snapshot(1.0), accept, RESOURCE)[0]).startswith(b"# HELP target")
