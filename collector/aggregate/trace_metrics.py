"""Span metrics and service graph metrics under the names that Grafana's views of traces ask for, made from all requests.

What Tempo's metrics-generator or a collector would make of spans, without sampling. In columns: rows are grouped by what names
a span or an edge, and the names are put together once for each series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from collector.aggregate.aggregator import SeriesCount, merge_points
from collector.aggregate.batch_groups import BatchGroups
from collector.aggregate.exemplars import ExemplarBoard
from collector.aggregate.feed import Feed
from collector.aggregate.group_numbers import GroupNumbers
from collector.aggregate.histogram import BucketLayout
from collector.aggregate.series import Labels, SeriesTable
from collector.aggregate.series_copy import CopiedPoints, SeriesCopy, copy_series
from collector.batch import Batch, Column
from collector.catalog.manifest import Metric
from collector.instruments import AttributeValue, InstrumentKind, InstrumentSnapshot, Point
from collector.request_names import CONNECTION_TYPES, DATABASE, DATABASES, DIRECT, VIRTUAL, name_span
from collector.workload import UNKNOWN, Workload, WorkloadKind

RECORD = "request"
BUCKETS = [0.002 * 2**step for step in range(14)]  # those of Tempo's span metrics
CLIENT, SERVER = "client", "server"
KINDS = {CLIENT: "SPAN_KIND_CLIENT", SERVER: "SPAN_KIND_SERVER"}
OUTSIDE = frozenset((WorkloadKind.NAME, WorkloadKind.NETWORK, WorkloadKind.UNKNOWN))
Resolve = Callable[[int], Workload]
Attributes = Mapping[str, AttributeValue]


def counter(name: str, help_text: str, where: Mapping[str, object], **more: object) -> Metric:
    shape = {"name": name, "kind": "counter", "unit": "{request}", "help": help_text, "record": RECORD, "where": where}
    return Metric.model_validate({**shape, **more})


def histogram(name: str, unit: str, help_text: str, where: Mapping[str, object], **more: object) -> Metric:
    shape = {"name": name, "kind": "histogram", "unit": unit, "help": help_text, "record": RECORD, "where": where}
    return Metric.model_validate({**shape, "value": "duration", "buckets": BUCKETS, **more})


SPAN = {
    "identity": ["local"],
    "attributes": {name: name for name in ("protocol", "operation", "route", "role", "failed")},
}
EDGE = {"identity": ["local", "peer"], "attributes": {"connection_type": "connection_type"}}
# A unit in braces adds nothing to a Prometheus name: this one is asked for without a unit, in seconds all the same.
SPAN_METRICS: Sequence[Metric] = (
    counter("traces.spanmetrics.calls", "Requests by the span that each of them is.", {"role": [CLIENT, SERVER]}, **SPAN),
    histogram("traces.spanmetrics.latency", "{second}", "Durations of requests, by span.", {"role": [CLIENT, SERVER]}, **SPAN),
)
GRAPH_METRICS: Sequence[Metric] = (
    counter("traces.service_graph.request", "Requests from one service to another, each once.", {"counted": True}, **EDGE),
    counter("traces.service_graph.request.failed", "Of these failed.", {"counted": True, "failed": True}, **EDGE),
    histogram("traces.service_graph.request.server", "s", "Their durations as the server saw them.", {"role": [SERVER]}, **EDGE),
    histogram("traces.service_graph.request.client", "s", "Their durations as the client saw them.", {"role": [CLIENT]}, **EDGE),
)


@dataclass(frozen=True, slots=True)
class TraceMetricsSettings:
    """max_series: of each instrument."""

    spans: bool = False
    graph: bool = False
    max_series: int = 2000
    exponential: bool = False


@dataclass(slots=True, eq=False)
class _Family:
    """Instruments that are grouped alike. name: what a series is called, by its labels and both its sides."""

    feeds: Sequence[Feed]
    name: Callable[[Labels, Workload | None, Workload | None], tuple[Workload | None, Attributes]]
    few_valued: frozenset[str]
    memory: GroupNumbers = field(default_factory=GroupNumbers)

    def add(self, batch: Batch, now: float) -> None:
        groups = BatchGroups(batch, self.few_valued, self.memory)
        for feed in self.feeds:
            feed.add(groups, now)

    def points(self, copies: Sequence[SeriesCopy]) -> list[Point]:
        return merge_points(
            Point(
                *self.name(labels, copy.owners[position], copy.peers[position]),
                copy.value(position),
                copy.started_at[position],
            )
            for copy in copies
            for position, labels in enumerate(copy.labels)
        )


class TraceMetrics:
    """Fed with batches of `request` that have local, peer and route. resolve: workload number -> its names as of now."""

    def __init__(self, settings: TraceMetricsSettings, resolve: Resolve) -> None:
        self._settings, self._resolve = settings, resolve
        self._board = ExemplarBoard()
        self._families: list[_Family] = []
        if settings.spans:
            grouped = frozenset(("local", *SPAN["attributes"]))
            self._families.append(_Family(self._feeds(SPAN_METRICS), self._name_span, grouped))
        if settings.graph:
            grouped = frozenset(("local", "peer", "connection_type"))
            self._families.append(_Family(self._feeds(GRAPH_METRICS), self._name_edge, grouped))

    def add(self, batch: Batch, now: float) -> None:
        """now: unix seconds."""
        if not self._families or not len(batch):
            return
        rows = replace(batch, columns={**batch.columns, "failed": batch["error_type"] != 0})
        for family in self._families:
            family.add(rows if family.name == self._name_span else self._as_edges(rows), now)

    def _feeds(self, metrics: Iterable[Metric]) -> list[Feed]:
        made = []
        for metric in metrics:
            instrument = metric.instrument()
            wide = instrument.kind is InstrumentKind.HISTOGRAM
            buckets = BucketLayout(instrument.buckets, self._settings.exponential) if wide else None
            table = SeriesTable(buckets.width if buckets else 1, self._settings.max_series)
            made.append(Feed(metric, table, buckets, board=self._board))
        return made

    def _as_edges(self, batch: Batch) -> Batch:
        """local: who asks, peer: who is asked. counted: a request between two ends that both may be read counts at the server's.

        Where the server is not one of ours, only the client's end is there.
        """
        asks = np.isin(batch["role"], numbers_of(batch, "role", (CLIENT,)))
        serves = np.isin(batch["role"], numbers_of(batch, "role", (SERVER,)))
        local, peer = batch["local"], batch["peer"]
        outside = self._are_outside(peer)
        kind = np.where(np.isin(batch["protocol"], numbers_of(batch, "protocol", DATABASES)), DATABASE, DIRECT)
        columns = {
            **batch.columns,
            "local": np.where(asks, local, peer),
            "peer": np.where(asks, peer, local),
            "connection_type": np.where((kind == DIRECT) & outside, VIRTUAL, kind).astype(np.uint8),
            "counted": serves | (asks & outside),
        }
        return replace(batch, columns=columns)

    def _are_outside(self, numbers: Column) -> Column:
        """bool (n,): those that are no workload which an agent could look at."""
        unique, inverse = np.unique(numbers, return_inverse=True)
        return np.array([self._resolve(number).kind in OUTSIDE for number in unique.tolist()], bool)[inverse]

    @staticmethod
    def _name_span(labels: Labels, workload: Workload | None, _: Workload | None) -> tuple[Workload | None, Attributes]:
        words = labels.attributes
        if workload is None:
            return None, words
        span = name_span(*(str(words.get(name, "")) for name in ("protocol", "operation", "route")))
        status = "STATUS_CODE_ERROR" if words["failed"] else "STATUS_CODE_UNSET"
        kind = KINDS[str(words["role"])]
        return workload, {"service": name_of(workload), "span_name": span, "span_kind": kind, "status_code": status}

    @staticmethod
    def _name_edge(labels: Labels, client: Workload | None, server: Workload | None) -> tuple[Workload | None, Attributes]:
        if client is None or server is None:
            return None, labels.attributes
        kind = CONNECTION_TYPES[int(labels.attributes["connection_type"])]
        named = {
            "client": name_of(client), "server": name_of(server), "connection_type": kind,
            "client_service_namespace": client.namespace, "server_service_namespace": server.namespace,
        }  # fmt: skip
        return None, {name: value for name, value in named.items() if value or name == "connection_type"}

    def snapshot(self) -> list[InstrumentSnapshot]:
        return [
            InstrumentSnapshot(feed.metric.instrument(), CopiedPoints([copy_series(feed, self._resolve)], family.points))
            for family in self._families
            for feed in family.feeds
        ]

    def confirm(self, spans: Mapping[bytes, bytes]) -> None:
        """These spans were exported (span id -> trace id)."""
        self._board.confirm(spans)

    def counts(self) -> list[SeriesCount]:
        return [
            SeriesCount(feed.metric.name, len(feed.table), feed.table.overflowed, feed.table.evicted)
            for feed in self._all_feeds()
        ]

    def remove_series_of(self, idle_since: Callable[[int], float]) -> None:
        """Takes out the series of which one end is gone; idle_since: as for `Aggregator.remove_series_of`."""
        for feed in self._all_feeds():
            for place, labels in feed.table.active():
                ends = [number for number in (labels.local, labels.peer) if number > UNKNOWN]
                if any(feed.table.updated_at[place] < idle_since(number) for number in ends):
                    feed.table.remove(place)

    def numbers(self) -> set[int]:
        """Of all workloads that a series is about."""
        active = [labels for feed in self._all_feeds() for _, labels in feed.table.active()]
        return {number for labels in active for number in (labels.local, labels.peer) if number >= 0}

    def _all_feeds(self) -> Iterator[Feed]:
        return (feed for family in self._families for feed in family.feeds)


def numbers_of(batch: Batch, column: str, wanted: Iterable[str]) -> list[int]:
    return [number for number, text in batch.schema.field(column).names.items() if text in wanted]


def name_of(workload: Workload) -> str:
    return workload.name or "unknown"
