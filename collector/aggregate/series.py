"""The series of one instrument as columns: values by index, one dictionary look-up per distinct label set and batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from collector.batch import Column
from collector.instruments import AttributeValue, Exemplar

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
    under the overflow series. overflowed: rows that went there. evicted: series removed. version: moves when a place
    may come to mean another series. exemplars: place -> bucket -> the latest.
    """

    width: int
    limit: int
    spare_seconds: float = 600.0
    overflowed: int = 0
    evicted: int = 0
    version: int = 0
    values: Column = field(init=False)
    started_at: Column = field(init=False)
    updated_at: Column = field(init=False)
    labels: list[Labels | None] = field(init=False)
    exemplars: dict[int, dict[int, Exemplar]] = field(default_factory=dict)
    _index: dict[int, int] = field(default_factory=dict)
    _sorted: tuple[Column, Column] | None = None  # _index as arrays (keys, places)
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

    def place(self, keys: Column, describe: Callable[[int], Labels], now: float) -> Column:
        """intp (n,): where the series of keys (n,) are; new ones get a place, or OVERFLOW when there is no room.

        describe(position): the labels of a new one. now: unix seconds.
        """
        places = self._find(keys)
        self.updated_at[places] = now  # before room is made for others
        unknown = np.flatnonzero(places == OVERFLOW)
        for position in unknown if self._has_room(now) else ():
            places[position] = self._open(int(keys[position]), int(position), describe, now)
        return places

    def count_overflow(self, rows: int, now: float) -> None:
        """So many rows went to the overflow series."""
        self.overflowed += rows
        self.started_at[OVERFLOW] = self.started_at[OVERFLOW] or now

    def _find(self, keys: Column) -> Column:
        """Places of the series that are known, OVERFLOW for the others."""
        if self._sorted is None:
            known = np.fromiter(self._index.keys(), np.uint64, len(self._index))
            order = np.argsort(known)
            self._sorted = known[order], np.fromiter(self._index.values(), np.intp, len(self._index))[order]
        known, places = self._sorted
        if len(known) == 0:
            return np.full(len(keys), OVERFLOW, np.intp)
        position = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[position] == keys, places[position], OVERFLOW)

    def _has_room(self, now: float) -> bool:
        return len(self._index) < self.limit or now >= self._spare_from

    def _open(self, key: int, position: int, describe: Callable[[int], Labels], now: float) -> int:
        """A new series, unless the key was there before in the same call; OVERFLOW when there is no room."""
        if key in self._index:
            return self._index[key]
        if len(self._index) >= self.limit and not self._evict_idlest(now):
            return OVERFLOW
        place = self._free.pop() if self._free else len(self.labels)
        if place == len(self.labels):
            self.labels.append(None)
            self._keys.append(0)
            self._grow(place + 1)
        self._index[key] = place
        self._sorted = None
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
        self._sorted = None
        self.labels[place] = None
        self.exemplars.pop(place, None)
        self._free.append(place)
        self.evicted += 1
        self.version += 1

    def fold(self, place: int, into: int) -> None:
        """Takes a series out whose numbers go on in another one, because both have the same names."""
        self.values[into] += self.values[place]
        self.started_at[into] = min(self.started_at[into], self.started_at[place])
        self.updated_at[into] = max(self.updated_at[into], self.updated_at[place])
        self.remove(place)

    def active(self) -> list[tuple[int, Labels]]:
        """(place, labels) of all series, the overflow series only when something is in it."""
        found = [(place, self.labels[place]) for place in self._index.values()]
        if self.overflowed:
            found.append((OVERFLOW, self.labels[OVERFLOW]))
        return [(place, labels) for place, labels in found if labels is not None]
