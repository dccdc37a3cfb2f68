"""Series as they were at one moment, in columns: points are made of them for whoever asks, one instrument at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from collector.aggregate.feed import Feed
from collector.aggregate.histogram import BucketLayout
from collector.aggregate.series import Labels
from collector.batch import Column
from collector.instruments import Exemplar, HistogramValue, Point
from collector.workload import Workload

Resolve = Callable[[int], Workload]


@dataclass(frozen=True, slots=True)
class SeriesCopy:
    """Of one table. owners, peers: whose number a series carries, None where it has no such side. exemplars: by position."""

    labels: Sequence[Labels]
    owners: Sequence[Workload | None]
    peers: Sequence[Workload | None]
    values: Column
    started_at: Sequence[float]
    exemplars: Mapping[int, Mapping[int, Exemplar]]
    buckets: BucketLayout | None

    def value(self, position: int) -> float | HistogramValue:
        columns = self.values[position]
        if self.buckets is None:
            return float(columns[0])
        return self.buckets.value(columns, self.exemplars.get(position))


class CopiedPoints:
    """The points of an instrument, made anew each time that they are gone through: a histogram of 19 bounds takes 180 bytes as a
    row and more than a KiB as a point. Its length: of the series, before those with the same names become one."""

    def __init__(self, copies: Sequence[SeriesCopy], make: Callable[[Sequence[SeriesCopy]], Iterable[Point]]) -> None:
        self._copies, self._make = copies, make

    def __len__(self) -> int:
        return sum(len(copy.labels) for copy in self._copies)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._make(self._copies))


def copy_series(feed: Feed, resolve: Resolve) -> SeriesCopy:
    """All active series of a feed; resolve: workload number -> its names. To be called where the table does not change."""
    active = feed.table.active()
    places, labels = [place for place, _ in active], [label for _, label in active]
    exemplars = feed.table.exemplars
    return SeriesCopy(
        labels,
        [resolve(label.local) if label.local >= 0 else None for label in labels],
        [resolve(label.peer) if label.peer >= 0 else None for label in labels],
        feed.table.values[places],
        feed.table.started_at[places].tolist(),
        {position: dict(exemplars[place]) for position, place in enumerate(places) if place in exemplars},
        feed.buckets,
    )
