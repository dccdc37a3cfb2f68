"""The agent's own instruments: the books, its cost, its limits. One table; every entry is fed in `collect`."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collector.accounts import Book
from collector.aggregate.aggregator import SeriesCount
from collector.cluster_status import WatchState, WatchStatus
from collector.instruments import AttributeValue, Instrument, InstrumentKind, InstrumentSnapshot, Point
from collector.probe_status import ProbeState, ProbeStatus

COUNTER, GAUGE = InstrumentKind.COUNTER, InstrumentKind.GAUGE
Sample = tuple[Mapping[str, AttributeValue], float]

INSTRUMENTS = {
    instrument.name: instrument
    for instrument in (
        Instrument(
            "honeyguide.probe.events", COUNTER, "{event}", "Events by what became of them; seen is the sum of the others."
        ),
        Instrument("honeyguide.probe.missed", COUNTER, "{run}", "Runs the kernel skipped: the program was running on that CPU."),
        Instrument("honeyguide.probe.records", COUNTER, "{record}", "Records that came out of a ring: decoded or undecodable."),
        Instrument("honeyguide.probe.state", GAUGE, "1", "1 for the state each probe is in."),
        Instrument("honeyguide.program.runtime", COUNTER, "s", "Run time in the kernel, while statistics are on."),
        Instrument("honeyguide.program.runs", COUNTER, "{run}", "Runs in the kernel, while statistics are on."),
        Instrument("honeyguide.ring.fill", GAUGE, "1", "How full each ring was when it was drained last."),
        Instrument("honeyguide.process.cpu", COUNTER, "s", "CPU time of the agent."),
        Instrument("honeyguide.process.memory.rss", GAUGE, "By", "Resident memory of the agent."),
        Instrument("honeyguide.pipeline.lag", GAUGE, "s", "How long the last drain and its processing took."),
        Instrument("honeyguide.pipeline.rows", COUNTER, "{row}", "Rows that went through the pipeline."),
        Instrument("honeyguide.decoder.discards", COUNTER, "{item}", "What decoders could not use, by reason."),
        Instrument("honeyguide.series.active", GAUGE, "{series}", "Series kept for each instrument."),
        Instrument("honeyguide.series.overflow", COUNTER, "{row}", "Rows counted under the overflow series."),
        Instrument("honeyguide.series.evicted", COUNTER, "{series}", "Series removed because they were idle."),
        Instrument("honeyguide.metric.rejected", COUNTER, "{row}", "Rows that did not fit a metric of their manifest."),
        Instrument("honeyguide.peer.rows", COUNTER, "{row}", "Rows by how the remote workload was found, or that it was not."),
        Instrument(
            "honeyguide.nat.connections", GAUGE, "{connection}", "Connections known whose addresses the node rewrites (NAT)."
        ),
        Instrument(
            "honeyguide.nat.rows",
            COUNTER,
            "{row}",
            "Rows whose peer was looked for behind rewritten addresses, live requests once for their connection.",
        ),
        Instrument("honeyguide.identity.discards", COUNTER, "{item}", "What identity could not know or keep, by reason."),
        Instrument("honeyguide.store.rows", GAUGE, "{row}", "Rows kept for the API."),
        Instrument("honeyguide.store.discards", COUNTER, "{row}", "Rows no longer kept, by reason."),
        Instrument("honeyguide.otlp.points", COUNTER, "{point}", "Points pushed over OTLP, by outcome."),
        Instrument(
            "honeyguide.spans", COUNTER, "{request}", "Requests that became spans, what became of these, or why they did not."
        ),
        Instrument("honeyguide.clickhouse.rows", COUNTER, "{row}", "Rows for ClickHouse, by table, or discarded, by reason."),
        Instrument("honeyguide.clickhouse.inserts", COUNTER, "{insert}", "Inserts into ClickHouse by how they ended."),
        Instrument("honeyguide.clickhouse.spool.rows", GAUGE, "{row}", "Rows that wait for ClickHouse."),
        Instrument("honeyguide.clickhouse.spool.size", GAUGE, "By", "Bytes of compressed rows that wait for ClickHouse."),
        Instrument("honeyguide.kubernetes.objects", GAUGE, "{object}", "Objects of the cluster that are known."),
        Instrument("honeyguide.kubernetes.state", GAUGE, "1", "1 for the state each watch is in."),
        Instrument("honeyguide.kubernetes.requests", COUNTER, "{request}", "Requests to the API server, by outcome."),
        Instrument("honeyguide.kubernetes.events", COUNTER, "{event}", "What watches told, by type or why it was not used."),
        Instrument("honeyguide.kubernetes.relists", COUNTER, "{list}", "Times that everything had to be told again, by reason."),
        Instrument("honeyguide.kubernetes.waits", COUNTER, "{wait}", "Pauses before a request was tried again."),
        Instrument("honeyguide.kubernetes.received", COUNTER, "By", "Bytes received from the API server."),
        Instrument("honeyguide.kubernetes.silence", GAUGE, "s", "Time since each watch heard something, a bookmark at least."),
        Instrument("honeyguide.health", GAUGE, "1", "1: nothing was lost lately. 0: degraded, see /api/v1/health."),
    )
}


@dataclass(frozen=True, slots=True)
class ClickHouseCounts:
    """rows: by outcome, delivered_<table> or discarded_<reason>. inserts: by outcome, delivered or retried_<reason>."""

    rows: Mapping[str, int] = field(default_factory=dict)
    inserts: Mapping[str, int] = field(default_factory=dict)
    spooled_rows: int = 0
    spooled_bytes: int = 0


@dataclass(slots=True)
class SelfFacts:
    """What the agent knows about itself at one moment; the fields are named after the instruments they feed.

    translations: connections with rewritten addresses that are known, and rows that were looked at through them.
    """

    books: Sequence[Book]
    statuses: Sequence[ProbeStatus]
    fills: Mapping[tuple[str, str], float]
    lag_seconds: float
    rows: Mapping[tuple[str, str], int]
    decoder_discards: Mapping[str, Mapping[str, int]]
    series: Sequence[SeriesCount]
    rejected: Mapping[str, int]
    peers: Mapping[str, int]
    identity_discards: Mapping[str, int]
    store_rows: Mapping[str, int]
    store_discards: Mapping[str, int]
    otlp_points: Mapping[str, int]
    spans: Mapping[str, int]
    healthy: bool
    started_at: float
    clickhouse: ClickHouseCounts = field(default_factory=ClickHouseCounts)
    translations: tuple[int, int] = (0, 0)
    now: float = 0.0
    watches: Sequence[WatchStatus] = ()
    own_cost: tuple[float, int] = field(default_factory=lambda: (cpu_seconds(), resident_bytes()))


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """Resident set size now (not the peak); 0 where /proc cannot be read."""
    try:
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def collect(facts: SelfFacts) -> list[InstrumentSnapshot]:
    """Points of all instruments of the table."""
    samples = {
        **probe_samples(facts),
        **program_samples(facts),
        **own_samples(facts),
        **limit_samples(facts),
        **cluster_samples(facts),
    }
    return [
        InstrumentSnapshot(instrument, [Point(None, attributes, value, facts.started_at) for attributes, value in samples[name]])
        for name, instrument in INSTRUMENTS.items()
    ]


def probe_samples(facts: SelfFacts) -> dict[str, list[Sample]]:
    events: list[Sample] = []
    missed: list[Sample] = []
    records: list[Sample] = []
    for book in facts.books:
        place = {"honeyguide.probe": book.probe, "honeyguide.account": book.account}
        for outcome in ("seen", "emitted", "filtered", "sampled"):
            events.append(({**place, "honeyguide.outcome": outcome}, float(getattr(book, outcome))))
        for reason, count in book.dropped.items():
            events.append(({**place, "honeyguide.outcome": "dropped", "honeyguide.reason": reason}, float(count)))
        missed.append((place, float(book.missed)))
        if book.delivered:
            records.append(({**place, "honeyguide.outcome": "decoded"}, float(book.decoded)))
            records.append(({**place, "honeyguide.outcome": "undecodable"}, float(book.undecodable)))
    return {"honeyguide.probe.events": events, "honeyguide.probe.missed": missed, "honeyguide.probe.records": records}


def program_samples(facts: SelfFacts) -> dict[str, list[Sample]]:
    states: list[Sample] = [
        ({"honeyguide.probe": status.probe, "honeyguide.state": state.value}, float(status.state is state))
        for status in facts.statuses
        for state in ProbeState
    ]
    costs = [
        ({"honeyguide.probe": s.probe, "honeyguide.program": cost.program}, cost) for s in facts.statuses for cost in s.costs
    ]
    return {
        "honeyguide.probe.state": states,
        "honeyguide.program.runtime": [(place, cost.run_time_ns / 1e9) for place, cost in costs],
        "honeyguide.program.runs": [(place, float(cost.runs)) for place, cost in costs],
        "honeyguide.ring.fill": by_record(facts.fills),
    }


def own_samples(facts: SelfFacts) -> dict[str, list[Sample]]:
    cpu, memory = facts.own_cost
    return {
        "honeyguide.process.cpu": [({}, cpu)],
        "honeyguide.process.memory.rss": [({}, float(memory))],
        "honeyguide.pipeline.lag": [({}, facts.lag_seconds)],
        "honeyguide.pipeline.rows": by_record(facts.rows),
        "honeyguide.decoder.discards": [
            ({"honeyguide.probe": probe, "honeyguide.reason": reason}, float(count))
            for probe, reasons in facts.decoder_discards.items()
            for reason, count in reasons.items()
        ],
        "honeyguide.health": [({}, float(facts.healthy))],
    }


def limit_samples(facts: SelfFacts) -> dict[str, list[Sample]]:
    """What has a limit, and what left the agent."""
    return {
        "honeyguide.series.active": [({"honeyguide.instrument": one.instrument}, float(one.active)) for one in facts.series],
        "honeyguide.series.overflow": [
            ({"honeyguide.instrument": one.instrument}, float(one.overflowed)) for one in facts.series
        ],
        "honeyguide.series.evicted": [({"honeyguide.instrument": one.instrument}, float(one.evicted)) for one in facts.series],
        "honeyguide.metric.rejected": by("honeyguide.instrument", facts.rejected),
        "honeyguide.peer.rows": by("honeyguide.evidence", facts.peers),
        "honeyguide.nat.connections": [({}, float(facts.translations[0]))],
        "honeyguide.nat.rows": [({}, float(facts.translations[1]))],
        "honeyguide.identity.discards": by("honeyguide.reason", facts.identity_discards),
        "honeyguide.store.rows": by("honeyguide.store", facts.store_rows),
        "honeyguide.store.discards": by("honeyguide.reason", facts.store_discards),
        "honeyguide.otlp.points": by("honeyguide.outcome", facts.otlp_points),
        "honeyguide.spans": by("honeyguide.outcome", facts.spans),
        "honeyguide.clickhouse.rows": by("honeyguide.outcome", facts.clickhouse.rows),
        "honeyguide.clickhouse.inserts": by("honeyguide.outcome", facts.clickhouse.inserts),
        "honeyguide.clickhouse.spool.rows": [({}, float(facts.clickhouse.spooled_rows))],
        "honeyguide.clickhouse.spool.size": [({}, float(facts.clickhouse.spooled_bytes))],
    }


def cluster_samples(facts: SelfFacts) -> dict[str, list[Sample]]:
    """Of each watch over the cluster's objects; none without Kubernetes."""
    places = [({"honeyguide.resource": one.resource}, one) for one in facts.watches]
    return {
        "honeyguide.kubernetes.objects": [(place, float(one.objects)) for place, one in places],
        "honeyguide.kubernetes.state": [
            ({**place, "honeyguide.state": state.value}, float(one.state is state))
            for place, one in places
            for state in WatchState
        ],
        "honeyguide.kubernetes.requests": counted("honeyguide.outcome", [(place, one.requests) for place, one in places]),
        "honeyguide.kubernetes.events": counted("honeyguide.event", [(place, one.events) for place, one in places]),
        "honeyguide.kubernetes.relists": counted("honeyguide.reason", [(place, one.relists) for place, one in places]),
        "honeyguide.kubernetes.waits": [(place, float(one.waits)) for place, one in places],
        "honeyguide.kubernetes.received": [(place, float(one.received)) for place, one in places],
        "honeyguide.kubernetes.silence": [
            (place, max(0.0, facts.now - one.heard_at)) for place, one in places if one.heard_at and one.watched
        ],
    }


def counted(attribute: str, places: Iterable[tuple[Mapping[str, str], Mapping[str, int]]]) -> list[Sample]:
    return [({**place, attribute: name}, float(count)) for place, counts in places for name, count in counts.items()]


def by(attribute: str, values: Mapping[str, int]) -> list[Sample]:
    return [({attribute: name}, float(value)) for name, value in values.items()]


def by_record(values: Mapping[tuple[str, str], float]) -> list[Sample]:
    items: Iterable[tuple[tuple[str, str], float]] = values.items()
    return [({"honeyguide.probe": probe, "honeyguide.record": record}, float(value)) for (probe, record), value in items]
