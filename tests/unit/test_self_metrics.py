from __future__ import annotations

import re
from pathlib import Path

from collector.accounts import Book
from collector.aggregate.aggregator import SeriesCount
from collector.cluster_status import WatchState, WatchStatus
from collector.instruments import InstrumentKind, Point
from collector.probe_status import ProbeState, ProbeStatus, ProgramCost
from collector.self_metrics import INSTRUMENTS, ClickHouseCounts, SelfFacts, collect, cpu_seconds, resident_bytes

BOOKS = [
    Book("tcp", "state_changes", 100, 60, 25, 5, {"ring_full": 7, "map_full": 3}, True, 58, 2, 4),
    Book("tcp", "snapshot", 8, 8, 0, 0),
]
STATUSES = [
    ProbeStatus("tcp", "Which?", ProbeState.RUNNING, costs=(ProgramCost("state_change", 2_500_000_000, 1000),)),
    ProbeStatus("udp", "Who?", ProbeState.REFUSED, cause="no BTF"),
]
WATCHES = [
    WatchStatus("pods", WatchState.SYNCED, 7, 900, 4990.0, 2, {"gone": 1}, {"added": 9}, {"gone": 1}),
    WatchStatus("jobs", heard_at=4000.0, watched=False),
]
FACTS = SelfFacts(
    books=BOOKS,
    statuses=STATUSES,
    fills={("tcp", "tcp_connection"): 0.25},
    lag_seconds=0.01,
    rows={("tcp", "tcp_connection"): 500},
    decoder_discards={"dns": {"malformed": 3}},
    series=[SeriesCount("honeyguide.tcp.io", 10, 2, 1)],
    rejected={"sample.rows": 6},
    peers={"peer_by_address": 4},
    identity_discards={"processes_evicted": 1},
    store_rows={"flows": 9},
    store_discards={"flows_overwritten": 2},
    spans={"sampled": 1},
    otlp_points={"exported": 11},
    clickhouse=ClickHouseCounts({"delivered_flows": 5}, {"delivered": 1}, 3, 400),
    healthy=False,
    started_at=1000.0,
    now=5000.0,
    watches=WATCHES,
    own_cost=(1.5, 64 << 20),
)
NOTHING = SelfFacts([], [], {}, 0.0, {}, {}, [], {}, {}, {}, {}, {}, {}, {}, True, 1000.0)


def points(facts: SelfFacts = FACTS) -> dict[str, list[Point]]:
    return {snapshot.instrument.name: list(snapshot.points) for snapshot in collect(facts)}


def value(name: str, **attributes: str) -> object:
    wanted = {f"honeyguide.{key}": text for key, text in attributes.items()}
    return next(point.value for point in points()[name] if point.attributes == wanted)


def test_every_instrument_of_the_table_gets_a_point() -> None:
    assert {name for name, found in points().items() if found} == set(INSTRUMENTS)


def test_an_agent_that_did_nothing_yet_has_the_same_instruments() -> None:
    assert points(NOTHING).keys() == INSTRUMENTS.keys()


def test_label_sets_are_unique_and_points_are_the_agents_own() -> None:
    for name, found in points().items():
        labels = [tuple(sorted(point.attributes.items())) for point in found]
        assert len(labels) == len(set(labels)), name
        assert {(point.workload, point.started_at) for point in found} == {(None, 1000.0)}


def test_watches_over_the_cluster_tell_their_state_and_their_counts() -> None:
    assert value("honeyguide.kubernetes.objects", resource="pods") == 7.0
    assert value("honeyguide.kubernetes.requests", resource="pods", outcome="gone") == 1.0
    assert value("honeyguide.kubernetes.received", resource="pods") == 900.0
    states = {state: value("honeyguide.kubernetes.state", resource="pods", state=state.value) for state in WatchState}
    assert states == {state: float(state is WatchState.SYNCED) for state in WatchState}


def test_what_is_asked_once_by_name_is_never_called_silent() -> None:
    assert value("honeyguide.kubernetes.silence", resource="pods") == 10.0
    assert len(points()["honeyguide.kubernetes.silence"]) == 1


def test_books_appear_whole_and_balance() -> None:
    name, place = "honeyguide.probe.events", {"probe": "tcp", "account": "state_changes"}
    assert value(name, outcome="seen", **place) == 100.0
    parts = [point for point in points()[name] if point.attributes["honeyguide.account"] == "state_changes"]
    assert sum(float(str(point.value)) for point in parts) == 200.0
    assert value(name, outcome="dropped", reason="ring_full", **place) == 7.0
    assert value("honeyguide.probe.records", outcome="undecodable", **place) == 2.0
    assert value("honeyguide.probe.missed", **place) == 4.0
    assert len(points()["honeyguide.probe.records"]) == 2  # only of accounts that feed a ring


def test_states_costs_and_health_are_numbers() -> None:
    assert value("honeyguide.probe.state", probe="udp", state="refused") == 1.0
    assert value("honeyguide.probe.state", probe="udp", state="running") == 0.0
    assert value("honeyguide.program.runtime", probe="tcp", program="state_change") == 2.5
    assert value("honeyguide.ring.fill", probe="tcp", record="tcp_connection") == 0.25
    assert points()["honeyguide.health"][0].value == 0.0
    assert points(NOTHING)["honeyguide.health"][0].value == 1.0


def test_table_is_well_formed() -> None:
    for name, instrument in INSTRUMENTS.items():
        assert name == instrument.name
        assert re.fullmatch(r"honeyguide(\.[a-z]+)+", name)
        assert instrument.kind in {InstrumentKind.COUNTER, InstrumentKind.GAUGE}
        assert re.fullmatch(r"s|By|1|\{[a-z]+\}", instrument.unit)
        assert re.fullmatch(r"[A-Z0-9].{9,}\.", instrument.help), name


def test_own_cost_is_measured() -> None:
    assert cpu_seconds() > 0
    assert resident_bytes() > 1 << 20


def test_memory_that_cannot_be_read_is_zero(tmp_path: Path) -> None:
    assert resident_bytes(tmp_path / "statm") == 0
    for text in ("", "12", "a b c"):
        (tmp_path / "statm").write_text(text)
        assert resident_bytes(tmp_path / "statm") == 0
