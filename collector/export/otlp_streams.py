"""A snapshot as OTLP wants it: by resource, then by instrument, each stream once, cut into requests of bounded size. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from collector.export.attribute_text import protobuf_value
from collector.export.histogram_merge import add_values
from collector.export.otlp_delta import Delta, DeltaTracker, SeriesKey
from collector.export.resource import Resources
from collector.instruments import (
    AttributeValue,
    HistogramValue,
    Instrument,
    InstrumentKind,
    InstrumentSnapshot,
    Point,
    Snapshot,
)

ResourceKey = frozenset[tuple[str, str]]
AttributeKey = frozenset[tuple[str, AttributeValue]]


@dataclass(slots=True)
class Stream:
    """One data point. started_at: unix seconds. deltas: what becomes delivered with it, nothing for cumulative streams."""

    attributes: dict[str, AttributeValue]
    value: float | HistogramValue
    started_at: float
    deltas: list[Delta]

    def add(self, other: Stream) -> None:
        """Another series that has become the same stream."""
        self.value = add_values(self.value, other.value)
        self.started_at = min(self.started_at, other.started_at)
        self.deltas += other.deltas


@dataclass(frozen=True, slots=True)
class Run:
    """Streams of one instrument of one resource."""

    resource: Mapping[str, str]
    instrument: Instrument
    delta: bool
    exponential: bool
    streams: list[Stream]


@dataclass(frozen=True, slots=True)
class Request:
    """What goes out at once. taken_at: unix seconds."""

    taken_at: float
    runs: list[Run]

    @property
    def points(self) -> int:
        return sum(len(run.streams) for run in self.runs)

    def deltas(self) -> Iterator[Delta]:
        return (delta for run in self.runs for stream in run.streams for delta in stream.deltas)


@dataclass(slots=True)
class StreamGrouping:
    """temporality: cumulative, delta or lowmemory. exponential: use base-2 exponential histograms where a series has them."""

    resources: Resources
    temporality: str
    exponential: bool
    tracker: DeltaTracker = field(default_factory=DeltaTracker)

    def requests(self, snapshot: Snapshot, max_points: int) -> Iterator[Request]:
        """Every stream of the snapshot once, those of one resource next to each other."""
        room, runs = max_points, list[Run]()
        for run in self._runs(snapshot):
            streams = run.streams
            while streams:
                runs.append(Run(run.resource, run.instrument, run.delta, run.exponential, streams[:room]))
                streams, room = streams[room:], room - len(runs[-1].streams)
                if room == 0:
                    yield Request(snapshot.taken_at, runs)
                    room, runs = max_points, []
        if runs:
            yield Request(snapshot.taken_at, runs)

    def _runs(self, snapshot: Snapshot) -> Iterator[Run]:
        """Everything is grouped before the first run is given out: a resource may have streams under any instrument."""
        groups = _Groups(self, snapshot.taken_at)
        for one in snapshot.instruments:
            groups.add(one)
        self.tracker.keep_only(groups.present)
        for runs in groups.runs.values():
            yield from runs

    def wants_delta(self, kind: InstrumentKind, observed: bool) -> bool:
        """observed: read when the snapshot was taken, as the agent's own numbers are (an asynchronous instrument)."""
        if kind is InstrumentKind.HISTOGRAM:
            return self.temporality != "cumulative"
        if kind is InstrumentKind.COUNTER:
            return self.temporality == "delta" or (self.temporality == "lowmemory" and not observed)
        return False


class _Groups:
    """The streams of one snapshot. present: the series that a delta was asked for."""

    def __init__(self, grouping: StreamGrouping, taken_at: float) -> None:
        self.runs: dict[ResourceKey, list[Run]] = {}
        self.present: set[SeriesKey] = set()
        self._grouping = grouping
        self._taken_at = taken_at
        self._resources: dict[int, tuple[ResourceKey, Mapping[str, str]]] = {}

    def add(self, one: InstrumentSnapshot) -> None:
        points = list(one.points)
        exponential = self._grouping.exponential and all(_has_exponential(point) for point in points)
        found: dict[ResourceKey, tuple[Run, dict[AttributeKey, Stream]]] = {}
        for point in points:
            key, resource = self._resource(point)
            if key not in found:
                delta = self._grouping.wants_delta(one.instrument.kind, observed=point.workload is None)
                found[key] = (Run(resource, one.instrument, delta, exponential, []), {})
            run, streams = found[key]
            stream = self._delta(run, point) if run.delta else self._cumulative(point)
            if stream is not None:
                _add_stream(streams, stream)
        for key, (run, streams) in found.items():
            run.streams.extend(streams.values())
            self.runs.setdefault(key, []).append(run)

    def _cumulative(self, point: Point) -> Stream:
        return Stream(_attributes(point), point.value, min(point.started_at, self._taken_at), [])

    def _delta(self, run: Run, point: Point) -> Stream | None:
        """None when nothing was added since: delta streams may have gaps."""
        step = self._grouping.tracker.delta(run.instrument, point, self._taken_at)
        self.present.add(step.key)
        if step.value is None:
            self._grouping.tracker.deliver([step])
            return None
        return Stream(_attributes(point), step.value, step.started_at, [step])

    def _resource(self, point: Point) -> tuple[ResourceKey, Mapping[str, str]]:
        number = -1 if point.workload is None else point.workload.number
        if number not in self._resources:
            resources = self._grouping.resources
            resource = resources.agent if point.workload is None else resources.of_workload(point.workload)
            self._resources[number] = (frozenset(resource.items()), resource)
        return self._resources[number]


def _add_stream(streams: dict[AttributeKey, Stream], stream: Stream) -> None:
    key = frozenset(stream.attributes.items())
    if key in streams:
        streams[key].add(stream)
    else:
        streams[key] = stream


def _attributes(point: Point) -> dict[str, AttributeValue]:
    return {key: protobuf_value(value) for key, value in point.attributes.items()}


def _has_exponential(point: Point) -> bool:
    return isinstance(point.value, HistogramValue) and point.value.exponential is not None
