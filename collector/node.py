"""All that is known about this node right now: the pipeline's rooms, the agent's own state, and copies for whoever asks.

The agent's thread feeds it; the API (as its AgentView) and the exporters read it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from collector.accounts import Book
from collector.aggregate.aggregator import SeriesCount
from collector.api.view import Health, HealthState, ProcessInfo
from collector.catalog.probe_model import ProbeModel
from collector.clock import NANOSECONDS, Clock
from collector.cluster_status import ClusterView, WatchStatus
from collector.cluster_view import AddressInfo, PodInfo
from collector.decode.sampling import RequestSampler
from collector.enrich.address_timeline import Place
from collector.enrich.cluster_report import Wanted, report_address, report_pods
from collector.enrich.identity import Identities
from collector.enrich.networks import NetworkTable
from collector.enrich.peer import PeerEnricher
from collector.enrich.process import Process
from collector.enrich.route_enricher import RouteEnricher
from collector.export.label_choice import ALL_LABELS, LabelChoice
from collector.export.otlp_settings import OtlpSettings
from collector.export.prometheus import render
from collector.export.prometheus_families import Families
from collector.export.resource import Resources
from collector.health import HealthMonitor
from collector.instruments import Snapshot
from collector.pipeline import Pipeline
from collector.probe_status import ProbeStatus
from collector.runtimes.lookup import RuntimeLookup
from collector.self_metrics import ClickHouseCounts, SelfFacts, collect
from collector.series_sweep import SeriesSweep
from collector.settings import Settings
from collector.settings_for_clickhouse import clickhouse_settings
from collector.source.interface import Source
from collector.store.flows import FlowStore
from collector.store.lookups import LookupStore
from collector.store.requests import RequestStore
from collector.store.row_feed import StoreFeed
from collector.workload import Workload

if TYPE_CHECKING:  # whoever exports nothing does not pay for what exporters need
    from collector.export.clickhouse import ClickHouseExporter
    from collector.export.otlp import OtlpExporter
    from collector.export.span_exporter import SpanExporter


def agent_version() -> str:
    try:
        return version("honeyguide")
    except PackageNotFoundError:
        return "unknown"


@dataclass(slots=True)
class Node:
    """books and statuses are read from the source by the agent's thread alone (`keep_house`); others get the copy."""

    settings: Settings
    clock: Clock
    source: Source
    pipeline: Pipeline
    peers: PeerEnricher
    otlp: OtlpSettings | None
    resources: Resources
    sweep: SeriesSweep
    started_at: int = field(default_factory=time.time_ns)
    version: str = field(default_factory=agent_version)
    labels: LabelChoice = ALL_LABELS
    networks: NetworkTable = field(default_factory=NetworkTable)
    address: str = ""
    lag_seconds: float = 0.0
    ready: bool = False
    fills: Mapping[tuple[str, str], float] = field(default_factory=dict)
    exporter: OtlpExporter | None = None
    spans: SpanExporter | None = None
    clickhouse: ClickHouseExporter | None = None
    sampler: RequestSampler | None = None
    routes: RouteEnricher | None = None
    lookup: RuntimeLookup | None = None
    cluster: ClusterView | None = None
    _monitor: HealthMonitor = field(default_factory=HealthMonitor)
    _health: Health = field(default_factory=lambda: Health(HealthState.STARTING))
    _books: Sequence[Book] = ()
    _statuses: Sequence[ProbeStatus] = ()

    def add_probe(self, probe: ProbeModel) -> None:
        """ProbeError when its probe.py cannot be used."""
        self.pipeline.add_probe(probe)

    def refresh_statuses(self) -> None:
        """At once, after a probe came or went; otherwise `keep_house` does it."""
        self._statuses = self.source.statuses()

    @property
    def lock(self) -> threading.RLock:
        return self.pipeline.lock

    @property
    def flows(self) -> FlowStore:
        return self.pipeline.rooms.flows

    @property
    def lookups(self) -> LookupStore:
        return self.pipeline.rooms.lookups

    @property
    def requests(self) -> RequestStore:
        return self.pipeline.rooms.requests

    @property
    def identities(self) -> Identities:
        return self.pipeline.rooms.identities

    def workload(self, number: int) -> Workload:
        """What that number stands for now, for other threads."""
        with self.lock:
            return self.identities.workload(number)

    def confirm_spans(self, spans: Mapping[bytes, bytes]) -> None:
        """These were exported, span id -> trace id; told from the exporter's thread."""
        with self.lock:
            self.pipeline.rooms.aggregator.confirm(spans)
            self.pipeline.rooms.traces.confirm(spans)

    def processes(self) -> list[ProcessInfo]:
        with self.lock:
            offset = self.clock.offset_ns
            return [self._describe(process, offset) for process in self.identities.processes.processes()]

    def pods(self, wanted: Wanted) -> Iterator[PodInfo]:
        """Pods of which wanted(uid, namespace, name, node) is true."""
        with self.lock:
            known = self.identities.cluster.pods.all()
        return report_pods(self.identities.cluster, known, self.clock.offset_ns, wanted)

    def resolve_address(self, address: bytes, protocol: str, port: int, at_ns: int) -> AddressInfo:
        """Who held that address of 16 bytes at `at_ns` (unix)."""
        offset = self.clock.offset_ns
        place = Place(address, protocol, port)
        with self.lock:
            cluster, names = self.identities.cluster, self.pipeline.rooms.names
            return report_address(cluster, place, at_ns - offset, offset, names, self.networks)

    def _describe(self, process: Process, offset: int) -> ProcessInfo:
        return ProcessInfo(
            pid=process.number,
            parent=process.parent,
            command=process.command,
            executable=process.executable,
            user=process.user,
            started_at=process.started_at + offset,
            ended_at=process.ended_at + offset if process.ended_at else 0,
            outcome=process.outcome or "running",
            exit_status=process.exit_status,
            signal=process.signal,
            workload=self.identities.resolve_process(process),
        )

    def statuses(self) -> Sequence[ProbeStatus]:
        return self._statuses

    def books(self) -> Sequence[Book]:
        return self._books

    def watches(self) -> Sequence[WatchStatus]:
        """Of the cluster's objects; none without Kubernetes."""
        return self.cluster.statuses() if self.cluster is not None else ()

    def health(self) -> Health:
        return self._health

    def render_metrics(self, accept: str) -> tuple[Iterator[bytes], str] | None:
        if not self.settings.prometheus:
            return None
        with self.lock:
            snapshot = self.snapshot()
            read = Families(self.labels, self.sweep.retired.points())
        pieces, content_type = render(snapshot, accept, self.resources.agent, read)
        return self._retiring(pieces, read), content_type

    def _retiring(self, pieces: Iterator[bytes], read: Families) -> Iterator[bytes]:
        """The pieces; after the last, what has ended for whoever read it to there."""
        yield from pieces
        with self.lock:
            self.sweep.note_read(read.ended, time.time())

    def snapshot(self) -> Snapshot:
        """All series now. The lock is held for the copy of the numbers only, from which points are made later."""
        with self.lock:
            measured = [*self.pipeline.rooms.aggregator.snapshot(), *self.pipeline.rooms.traces.snapshot()]
            facts = self._facts()
        return Snapshot(time.time(), [*measured, *collect(facts)])

    def keep_house(self) -> None:
        """Every few seconds, by the agent's thread: books, health, and series of what is gone."""
        self._books, self._statuses = self.source.books(), self.source.statuses()
        now = time.time()
        with self.lock:
            exceeded = self._exceeded()
            self.sweep.sweep(now)
        self._monitor.check_books(self._books, now)
        self._monitor.check_statuses(self._statuses, now)
        self._monitor.check_watches(self.watches(), now)
        self._monitor.check_limits(exceeded, now)
        found = self._monitor.health(now)
        self._health = Health(HealthState(found.status), found.reasons)

    def _series_counts(self) -> list[SeriesCount]:
        rooms = self.pipeline.rooms
        return [*rooms.aggregator.counts(), *rooms.traces.counts()]

    def _exceeded(self) -> dict[str, int]:
        """limit -> how often something did not fit."""
        rooms, flows = self.pipeline.rooms, self.flows.counts()
        identity = rooms.identities.counters()
        return {
            **{f"max_series of {one.instrument}": one.overflowed for one in self._series_counts()},
            "max_workloads": identity.get("workloads_overflowed", 0),
            "max_processes": identity.get("processes_evicted", 0),
            "max_cluster_objects": sum(watch.events.get("over_limit", 0) for watch in self.watches())
            + sum(identity.get(f"{kind}_refused", 0) for kind in ("pods", "services", "addresses")),
            "flow rows kept live": flows.over_capacity,
        }

    def _facts(self) -> SelfFacts:
        rooms = self.pipeline.rooms
        return SelfFacts(
            books=self._books,
            statuses=self._statuses,
            fills=self.fills,
            lag_seconds=self.lag_seconds,
            rows=dict(self.pipeline.rows),
            decoder_discards=self.pipeline.decoder_counters(),
            series=self._series_counts(),
            rejected=dict(rooms.aggregator.rejected),
            peers={f"peer_by_{name}": count for name, count in self.peers.evidence.rows().items()},
            translations=(len(rooms.translations), self.peers.translated),
            identity_discards=self._identity_discards(),
            spans=self._span_counts(),
            store_rows=self._store_rows(),
            store_discards=self._store_discards(),
            otlp_points=self._otlp_points(),
            clickhouse=self._clickhouse_counts(),
            healthy=self._health.state is not HealthState.DEGRADED,
            started_at=self.started_at / NANOSECONDS,
            now=time.time(),
            watches=self.watches(),
        )

    def _store_rows(self) -> dict[str, int]:
        flows = self.flows.counts()
        return {
            **{f"flows_{name}": count for name, count in flows.live.items()},
            "flows_history": flows.history,
            "lookups": self.lookups.counts().rows,
            "requests": self.requests.counts().rows,
        }

    def _store_discards(self) -> dict[str, int]:
        flows, requests = self.flows.counts(), self.requests.counts()
        vanished = self.pipeline.rooms.aggregator.vanished()
        return {
            "flows_overwritten": flows.overwritten,
            "flows_over_capacity": flows.over_capacity,
            "flows_late": flows.late,
            "followers_slow": flows.lost_by_followers + requests.lost_by_followers,
            "lookups_overwritten": self.lookups.counts().overwritten,
            "requests_overwritten": requests.overwritten,
            "request_words_over": requests.words_overflowed,
            "retired_series_forgotten": self.sweep.retired.forgotten,
            **{f"{record}_vanished": count for (_, record), count in vanished.items()},
        }

    def _identity_discards(self) -> dict[str, int]:
        """Beside the rooms' own: containers without a name, and files about them that could not be used."""
        routes = {} if self.routes is None else self.routes.counters()
        lookup = {} if self.lookup is None else self.lookup.discards()
        containers = {f"containers_{reason}": count for reason, count in lookup.items()}
        return {**self.identities.counters(), **self.peers.counters(), **routes, **containers}

    def _span_counts(self) -> dict[str, int]:
        """outcome -> requests that became spans, or why not."""
        if self.spans is None or self.sampler is None:
            return {}
        status = self.spans.status()
        discarded = {f"discarded_{reason}": count for reason, count in status.discarded.items()}
        return {**self.sampler.counters(), "exported": status.exported, **discarded}

    def _otlp_points(self) -> dict[str, int]:
        if self.exporter is None:
            return {}
        status = self.exporter.status()
        return {"exported": status.exported_points, **{f"failed_{reason}": n for reason, n in status.failed_points.items()}}

    def _clickhouse_counts(self) -> ClickHouseCounts:
        if self.clickhouse is None:
            return ClickHouseCounts()
        status = self.clickhouse.status()
        rows = {f"delivered_{table}": count for table, count in status.delivered.items()}
        rows |= {f"discarded_{reason}": count for reason, count in status.discarded.items()}
        inserts = {"delivered": status.inserts, "found_delivered": status.found}
        inserts |= {f"retried_{reason}": count for reason, count in status.retried.items()}
        return ClickHouseCounts(rows, inserts, status.spooled_rows, status.spooled_bytes)

    def start_otlp(self) -> OtlpExporter | None:
        """The exporter, running; None when no endpoint is configured. SettingsError when OTEL_* cannot be used."""
        if self.otlp is not None:
            from collector.export.otlp import OtlpExporter  # noqa: PLC0415

            self.exporter = OtlpExporter(self.otlp, self.resources, self.snapshot, self.version)
            self.exporter.start()
        return self.exporter

    def start_spans(self) -> SpanExporter | None:
        """The exporter of spans, running; None when none are wanted."""
        if self.spans is not None:
            self.spans.start()
        return self.spans

    def start_clickhouse(self) -> ClickHouseExporter | None:
        """The exporter of rows, running; None when no server is named. SettingsError when the spool's folder is unusable."""
        settings = clickhouse_settings(self.settings)
        if settings is not None:
            from collector.export.clickhouse import ClickHouseExporter  # noqa: PLC0415
            from collector.export.clickhouse_columns import Origin  # noqa: PLC0415

            place = self.resources.place
            origin = Origin(place.get("k8s.node.name") or place.get("host.name", ""), self.workload, secrets.randbits(32))
            feed = StoreFeed(self.flows, self.requests, self.lookups, self.lock, self.settings.clickhouse_tables)
            self.clickhouse = ClickHouseExporter(settings, origin, feed)
            self.clickhouse.start()
        return self.clickhouse

    def summary(self) -> str:
        """What went through, for the end of a replay."""
        lines = [f"  {probe}/{record}: {rows} rows" for (probe, record), rows in sorted(self.pipeline.rows.items())]
        with self.lock:
            workloads = len(self.identities.workloads())
            flows = self.flows.counts()
        live = ", ".join(f"{count} {protocol}" for protocol, count in flows.live.items())
        return "\n".join(["Replayed:", *lines, f"{workloads} workloads; {flows.history} flows ended, open: {live or 'none'}"])
