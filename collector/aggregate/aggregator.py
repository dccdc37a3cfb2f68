"""All metrics of all manifests: batches in, points out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from collector.aggregate.batch_groups import BatchGroups
from collector.aggregate.cumulative import CumulativeFields, CumulativeJoin
from collector.aggregate.exemplars import ExemplarBoard
from collector.aggregate.feed import Feed
from collector.aggregate.group_numbers import GroupNumbers
from collector.aggregate.histogram import BucketLayout
from collector.aggregate.series import Labels, SeriesTable
from collector.aggregate.series_copy import CopiedPoints, SeriesCopy, copy_series
from collector.batch import Batch
from collector.catalog.manifest import Manifest, Record
from collector.errors import ManifestError
from collector.instruments import (
    AttributeValue,
    HistogramValue,
    Instrument,
    InstrumentKind,
    InstrumentSnapshot,
    Point,
    latest_exemplars,
)
from collector.workload import Workload

log = logging.getLogger(__name__)

# What a column that is missing or of another kind than the manifest thinks can lead to.
FAULTS = (LookupError, ValueError, TypeError, OverflowError, ManifestError)
IDENTITIES = ("local", "peer")
NOBODY = -1
Resolve = Callable[[int], Workload]


@dataclass(frozen=True, slots=True)
class AggregateSettings:
    """max_series: of each instrument. exponential: keep base-2 exponential histograms too."""

    max_series: int = 2000
    exponential: bool = False


@dataclass(frozen=True, slots=True)
class SeriesCount:
    """Of one instrument. overflowed: rows counted under the overflow series. evicted: series removed."""

    instrument: str
    active: int
    overflowed: int
    evicted: int


class Aggregator:
    """Fed by the pipeline, read by exporters under the pipeline's lock. resolve: workload number -> its names as of now."""

    def __init__(self, settings: AggregateSettings, resolve: Resolve) -> None:
        self._settings = settings
        self._resolve = resolve
        self._feeds: dict[tuple[str, str], list[Feed]] = {}
        self._instruments: dict[str, tuple[Instrument, list[Feed]]] = {}
        self._joins: dict[tuple[str, str], CumulativeJoin] = {}
        self._numbers: dict[tuple[str, str], GroupNumbers] = {}
        self._board = ExemplarBoard()
        self._ending: set[tuple[str, str]] = set()
        self.rejected: dict[str, int] = {}

    def add_probe(self, name: str, manifest: Manifest, map_keys: Mapping[str, tuple[str, ...]]) -> None:
        """map_keys: for records that come from a map, the fields of its key. Probes may feed the same instrument."""
        for record in manifest.record:
            fields = cumulative_fields(record, map_keys.get(record.struct, ()))
            if fields:
                self._joins[(name, record.struct)] = CumulativeJoin(fields)
                if record.ring:
                    self._ending.add((name, record.struct))
        words = {record.struct: record.constant for record in manifest.record}
        for metric in manifest.metric:
            instrument = metric.instrument()
            buckets = None
            if instrument.kind is InstrumentKind.HISTOGRAM:
                buckets = BucketLayout(instrument.buckets, self._settings.exponential)
            table = SeriesTable(buckets.width if buckets else 1, self._settings.max_series)
            feed = Feed(metric, table, buckets, words[metric.record], self._board)
            known, feeds = self._instruments.setdefault(instrument.name, (instrument, []))
            if known == instrument:
                feeds.append(feed)
            else:
                log.warning("metric %s of probe %s is left out: there is another of that name", instrument.name, name)
                feed.fits = False
            self._feeds.setdefault((name, metric.record), []).append(feed)

    def remove_probe(self, name: str) -> None:
        """Takes out the probe's metrics with all their series; an instrument that another probe feeds too stays."""
        places = [place for place in self._feeds if place[0] == name]
        gone = {id(feed) for place in places for feed in self._feeds.pop(place)}
        for instrument, (known, feeds) in list(self._instruments.items()):
            kept = [feed for feed in feeds if id(feed) not in gone]
            if kept:
                self._instruments[instrument] = (known, kept)
            elif feeds:
                del self._instruments[instrument]
                self.rejected.pop(instrument, None)
        for table in (self._joins, self._numbers):
            for place in [place for place in table if place[0] == name]:
                del table[place]
        self._ending = {place for place in self._ending if place[0] != name}

    def join(self, batch: Batch) -> Batch:
        """The batch with its increases, for records that carry cumulative counters; unchanged otherwise."""
        join = self._joins.get((batch.schema.probe, batch.schema.record))
        return join.join(batch) if join else batch

    def add(self, batch: Batch, now: float) -> None:
        """A metric that does not fit its rows is named once and its rows are counted; the others go on. now: unix seconds."""
        place = (batch.schema.probe, batch.schema.record)
        feeds = self._feeds.get(place, [])
        if not feeds:
            return
        if place not in self._numbers:
            self._numbers[place] = GroupNumbers()
        groups = BatchGroups(batch, few_valued(batch, feeds), self._numbers[place])
        for feed in feeds:
            if feed.fits:
                feed.fits = self._fits(feed, groups, now)
            if not feed.fits:
                self.rejected[feed.metric.name] = self.rejected.get(feed.metric.name, 0) + len(batch)

    def _fits(self, feed: Feed, groups: BatchGroups, now: float) -> bool:
        try:
            feed.add(groups, now)
        except FAULTS as error:
            record = groups.batch.schema.record
            log.warning("metric %s is switched off: it does not fit record %s: %s", feed.metric.name, record, error)
            return False
        return True

    def snapshot(self) -> list[InstrumentSnapshot]:
        """All series as of now, copied as columns; those whose names have become equal are one point."""
        return [
            InstrumentSnapshot(instrument, CopiedPoints([copy_series(feed, self._resolve) for feed in feeds], make_points))
            for instrument, feeds in self._instruments.values()
        ]

    def _point(self, feed: Feed, place: int, labels: Labels) -> Point:
        columns = feed.table.values[place]
        exemplars = feed.table.exemplars.get(place)
        value = feed.buckets.value(columns, exemplars) if feed.buckets else float(columns[0])
        return Point(self._workload(labels.local), self._attributes(labels), value, float(feed.table.started_at[place]))

    def _workload(self, number: int) -> Workload | None:
        return None if number < 0 else self._resolve(number)

    def _attributes(self, labels: Labels) -> Mapping[str, AttributeValue]:
        return about_peer(labels, self._workload(labels.peer))

    def confirm(self, spans: Mapping[bytes, bytes]) -> None:
        """These spans were exported (span id -> trace id): histograms may point at them from now on."""
        self._board.confirm(spans)

    def counts(self) -> list[SeriesCount]:
        return [
            SeriesCount(
                name,
                sum(len(feed.table) for feed in feeds),
                sum(feed.table.overflowed for feed in feeds),
                sum(feed.table.evicted for feed in feeds),
            )
            for name, (_, feeds) in self._instruments.items()
        ]

    def vanished(self) -> dict[tuple[str, str], int]:
        """(probe, record) -> rows that went without their last record having arrived, for records that announce their end."""
        return {place: join.vanished for place, join in self._joins.items() if place in self._ending}

    def remove_series_of(
        self, idle_since: Callable[[int], float], peer_idle_since: Callable[[int], float] = lambda _number: -math.inf
    ) -> list[tuple[Instrument, Point]]:
        """Takes out the series of workloads, and about peers, that are gone and were not updated lately; what was taken out.

        (peer_)idle_since(number): unix seconds, the moment after which such a series would stay; -inf for what exists.
        """
        removed: list[tuple[Instrument, Point]] = []
        for instrument, feed in self._all_feeds():
            for place, labels in feed.table.active():
                since = idle_since(labels.local) if labels.local >= 0 else -math.inf
                if labels.peer >= 0:
                    since = max(since, peer_idle_since(labels.peer))
                if feed.table.updated_at[place] < since:
                    removed.append((instrument, self._point(feed, place, labels)))
                    feed.table.remove(place)
        return removed

    def fold_series_of_peers(self, gone: Callable[[int], bool]) -> None:
        """Series about peers that are gone become one where they have the same names, so that their sum never goes down."""
        for instrument, feed in self._all_feeds():
            heirs: dict[tuple[object, ...], int] = {}
            for place, labels in feed.table.active():
                if labels.peer < 0 or not gone(labels.peer):
                    continue
                if instrument.kind is InstrumentKind.GAUGE:
                    feed.table.remove(place)
                    continue
                heir = heirs.setdefault((labels.local, *sorted(self._attributes(labels).items())), place)
                if heir != place:
                    feed.table.fold(place, heir)

    def numbers(self) -> set[int]:
        """Of all workloads that a series is about."""
        active = [labels for _, feed in self._all_feeds() for _, labels in feed.table.active()]
        return {number for labels in active for number in (labels.local, labels.peer) if number >= 0}

    def _all_feeds(self) -> Iterator[tuple[Instrument, Feed]]:
        return ((instrument, feed) for instrument, feeds in self._instruments.values() for feed in feeds)


def few_valued(batch: Batch, feeds: Sequence[Feed]) -> frozenset[str]:
    """The columns that metrics group by and that have few values: identities, enums, flags, ports of services."""
    enums = {entry.name for entry in batch.schema.fields if entry.names or entry.meaning == "service_port"}
    names = {name for feed in feeds for name in feed.grouped_by if name in batch}
    return frozenset(name for name in names if name in IDENTITIES or name in enums or batch[name].dtype.kind == "b")


def cumulative_fields(record: Record, map_key: tuple[str, ...]) -> CumulativeFields | None:
    if not record.cumulative and not record.once:
        return None
    key = (record.key,) if record.key else map_key
    return CumulativeFields(key, tuple(record.cumulative), tuple(record.once), record.born, restarts=not record.key)


def about_peer(labels: Labels, peer: Workload | None) -> Mapping[str, AttributeValue]:
    """The attributes of a series, and those of its other side."""
    return labels.attributes if peer is None else {**peer.peer_attributes(), **labels.attributes}


def make_points(copies: Sequence[SeriesCopy]) -> list[Point]:
    return merge_points(
        Point(copy.owners[position], about_peer(labels, copy.peers[position]), copy.value(position), copy.started_at[position])
        for copy in copies
        for position, labels in enumerate(copy.labels)
    )


def merge_points(points: Iterable[Point]) -> list[Point]:
    """Adds up points with the same names: two numbers may turn out to be one workload."""
    merged: dict[tuple[object, ...], Point] = {}
    owners: dict[int, tuple[object, ...]] = {}
    for point in points:
        number = point.workload.number if point.workload else NOBODY
        if number not in owners:
            owners[number] = tuple(point.workload.attributes().items()) if point.workload else ()
        key = (owners[number], *sorted(point.attributes.items()))
        known = merged.get(key)
        merged[key] = point if known is None else add_points(known, point)
    return list(merged.values())


def add_points(left: Point, right: Point) -> Point:
    started = min(left.started_at, right.started_at)
    if isinstance(left.value, HistogramValue) and isinstance(right.value, HistogramValue):
        return Point(left.workload, left.attributes, add_histograms(left.value, right.value), started)
    assert not isinstance(left.value, HistogramValue)
    assert not isinstance(right.value, HistogramValue)
    return Point(left.workload, left.attributes, left.value + right.value, started)


def add_histograms(left: HistogramValue, right: HistogramValue) -> HistogramValue:
    counts = [a + b for a, b in zip(left.counts, right.counts, strict=True)]
    exponential = left.exponential
    if left.exponential and right.exponential:
        added = [a + b for a, b in zip(left.exponential.counts, right.exponential.counts, strict=True)]
        zeros = left.exponential.zero_count + right.exponential.zero_count
        exponential = type(left.exponential)(left.exponential.scale, zeros, left.exponential.offset, added)
    exemplars = latest_exemplars(left.exemplars, right.exemplars)
    return HistogramValue(counts, left.sum + right.sum, left.count + right.count, exponential, exemplars)
