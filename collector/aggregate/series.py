"""The series of one instrument as columns: values by index, one dictionary look-up per distinct label set and batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from collector.batch import Column
from collector.instruments import AttributeValue

OVERFLOW = 0  # index of the series that takes what is over the limit
OVERFLOW_ATTRIBUTES: Mapping[str, AttributeValue] = {"otel.metric.overflow": True}  # OpenTelemetry SDK specification


@dataclass(slots=True, frozen=True)
class Labels:
    """local, peer: workload numbers, or -1 where the instrument has no such side."""

    local: int
    peer: int
    attributes: Mapping[str, AttributeValue]


@dataclass(slots=True, eq=False)
class SeriesTable:
    """width: numbers per series (1, or the buckets of a histogram plus its sum). limit: most series at a time.

    Over the limit the series idle longest goes if it was idle for `spare_seconds`; otherwise the new one is counted
    under the overflow series. overflowed: rows that went there. evicted: series removed.
    """

    width: int
    limit: int
    spare_seconds: float = 600.0
    overflowed: int = 0
    evicted: int = 0
    values: Column = field(init=False)
    started_at: Column = field(init=False)
    updated_at: Column = field(init=False)
    labels: list[Labels | None] = field(init=False)
    _index: dict[int, int] = field(default_factory=dict)
    _keys: list[int] = field(default_factory=lambda: [0])
    _free: list[int] = field(default_factory=list)
    _spare_from: float = 0.0  # no series can be spared before; a flood of new label sets looks only once

    def __post_init__(self) -> None:
        self.values = np.zeros((8, self.width))
        self.started_at = np.zeros(8)
        self.updated_at = np.zeros(8)
        self.labels = [Labels(-1, -1, OVERFLOW_ATTRIBUTES)]

    def __len__(self) -> int:
        return len(self._index)

    def add(self, keys: Column, amounts: Column, describe: Callable[[int], Labels], rows: Column, now: float) -> None:
        """Adds amounts (n, width) to the series of keys (n,); describe(position) gives the labels of a new one.

        rows (n,): how many rows each group had, for the count of what overflowed. now: unix seconds.
        """
        places = np.array([self._place(int(key), position, describe, now) for position, key in enumerate(keys)], np.intp)
        over = places == OVERFLOW
        if over.any():
            self.overflowed += int(rows[over].sum())
            self.started_at[OVERFLOW] = self.started_at[OVERFLOW] or now
            self.updated_at[OVERFLOW] = now
        np.add.at(self.values, places, amounts)

    def _place(self, key: int, position: int, describe: Callable[[int], Labels], now: float) -> int:
        place = self._index.get(key)
        if place is not None:
            self.updated_at[place] = now  # at once: a later row of this batch must not take its place
            return place
        if len(self._index) >= self.limit and not self._evict_idlest(now):
            return OVERFLOW
        place = self._free.pop() if self._free else len(self.labels)
        if place == len(self.labels):
            self.labels.append(None)
            self._keys.append(0)
            self._grow(place + 1)
        self._index[key] = place
        self._keys[place] = key
        self.labels[place] = describe(position)
        self.values[place] = 0
        self.started_at[place] = now
        self.updated_at[place] = now
        return place

    def _grow(self, size: int) -> None:
        if size > len(self.values):
            more = len(self.values)
            self.values = np.concatenate([self.values, np.zeros((more, self.width))])
            self.started_at = np.concatenate([self.started_at, np.zeros(more)])
            self.updated_at = np.concatenate([self.updated_at, np.zeros(more)])

    def _evict_idlest(self, now: float) -> bool:
        if now < self._spare_from:
            return False
        places = np.fromiter(self._index.values(), np.intp, len(self._index))
        idlest = int(places[np.argmin(self.updated_at[places])])
        self._spare_from = float(self.updated_at[idlest]) + self.spare_seconds
        if now < self._spare_from:
            return False
        self.remove(idlest)
        return True

    def remove(self, place: int) -> None:
        """Takes a series out; should its label set come again it starts from zero with a new start time."""
        del self._index[self._keys[place]]
        self.labels[place] = None
        self._free.append(place)
        self.evicted += 1

    def active(self) -> list[tuple[int, Labels]]:
        """(place, labels) of all series, the overflow series only when something is in it."""
        found = [(place, self.labels[place]) for place in self._index.values()]
        if self.overflowed:
            found.append((OVERFLOW, self.labels[OVERFLOW]))
        return [(place, labels) for place, labels in found if labels is not None]
