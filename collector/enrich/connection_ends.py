"""The ends of connections that are on this node, findable by what their other end looks like."""

from __future__ import annotations

import numpy as np

from collector.batch import Column
from collector.workload import UNKNOWN

STILL_OPEN = np.uint64((1 << 63) - 1)
OVERLAP_NS = np.uint64(10_000_000)  # the two ends of a connection open and close a little apart
FEWEST = 1024  # ends for which there is room from the start
CANDIDATES = 4  # more ends than that with one 4-tuple are ambiguous anyway
COLUMNS = ("_netns", "_numbers", "_opened", "_ended", "_seen_at")


class ConnectionEnds:
    """Bounded: `maximum` ends, the one seen longest ago goes first; none counts that was not seen for `fresh_ns`.

    key: a hash of protocol, local address and port, remote address and port. opened, ended: boot_ns, 0: before anything was
    seen, STILL_OPEN: not yet; ends that did not exist at one time are not those of one connection, for addresses and ports
    are given again. Columns instead of one structured array: NumPy copies a field of such an array for every search. Only
    what is searched is kept in order, the rest stays where it was put.
    """

    def __init__(self, maximum: int, fresh_ns: int) -> None:
        self._maximum, self._fresh_ns = maximum, np.uint64(fresh_ns)
        self._keys = np.zeros(0, np.uint64)  # sorted; (key, netns) is unique
        self._slots = np.zeros(0, np.int32)  # of each key: where its end is in the columns
        self._netns = np.zeros(FEWEST, np.uint32)
        self._numbers = np.zeros(FEWEST, np.int32)
        self._opened = np.zeros(FEWEST, np.uint64)
        self._ended = np.zeros(FEWEST, np.uint64)
        self._seen_at = np.zeros(FEWEST, np.uint64)
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._keys)

    def add(
        self,
        keys: Column,
        netns: Column,
        numbers: Column,
        times: tuple[Column, Column],
        now: int,
    ) -> None:
        """These ends exist at `now` (boot_ns). An end seen before takes the new number; UNKNOWN says nothing.

        times: (opened, ended) of each.
        """
        known = numbers != UNKNOWN
        keys, netns, numbers = keys[known], netns[known], numbers[known]
        opened, ended = times[0][known], times[1][known]
        place, found = self._locate(keys, netns)
        slots = self._slots[place[found]]
        self._numbers[slots] = numbers[found]
        self._opened[slots] = opened[found]
        self._ended[slots] = ended[found]
        self._seen_at[slots] = now
        if not found.all():
            new = ~found
            self._insert([keys[new], netns[new], numbers[new], opened[new], ended[new]], now)

    def find(self, keys: Column, netns: Column, times: tuple[Column, Column], same_netns_only: Column, now: int) -> Column:
        """int32 per row: the number of the one end with that key; UNKNOWN when there is none, or more than one.

        An end in the row's own network namespace is certain. Elsewhere it is an answer only if it is the only one, and
        never for rows marked in `same_netns_only`. times: (opened, ended) of each row.
        """
        found = np.full(len(keys), UNKNOWN, np.int32)
        place = np.searchsorted(self._keys, keys)
        rows = np.flatnonzero(self._is_at(place, keys))
        here, there, places = np.zeros((3, len(rows)), np.int32)
        for step in range(CANDIDATES):
            end = place[rows] + step
            match = self._is_at(end, keys[rows])
            if not match.any():
                break
            end = self._slots[np.where(match, end, 0)].astype(np.intp)
            match &= self._seen_at[end] + self._fresh_ns >= np.uint64(now)
            match &= self._opened[end] <= times[1][rows] + OVERLAP_NS
            match &= times[0][rows] <= self._ended[end] + OVERLAP_NS
            own = self._netns[end] == netns[rows]
            here = np.where(match & own, self._numbers[end], here)
            there = np.where(match & ~own, self._numbers[end], there)
            places += match & ~own
        there[(places != 1) | same_netns_only[rows]] = UNKNOWN
        found[rows] = np.where(here != UNKNOWN, here, there)
        return found

    def _is_at(self, place: Column, keys: Column) -> Column:
        """Whether each key is at that position."""
        if not len(self._keys):
            return np.zeros(len(keys), bool)
        return np.asarray((place < len(self._keys)) & (self._keys[np.minimum(place, len(self._keys) - 1)] == keys))

    def _locate(self, keys: Column, netns: Column) -> tuple[Column, Column]:
        """(position, whether the end is there). Of too many ends with one key the last gives way."""
        start = np.searchsorted(self._keys, keys)
        place, found = start.copy(), np.zeros(len(keys), bool)
        rows = np.flatnonzero(self._is_at(start, keys))
        for _ in range(CANDIDATES):
            match = self._is_at(place[rows], keys[rows])
            same = match
            if match.any():
                same = match & (self._netns[self._slots[np.where(match, place[rows], 0)]] == netns[rows])
            found[rows[same]] = True
            rows = rows[match & ~same]
            place[rows] += 1
        found[rows] = True
        place[rows] -= 1
        return place, found

    def _insert(self, columns: list[Column], now: int) -> None:
        """columns: keys, netns, numbers, opened, ended."""
        keys, netns, numbers, opened, ended = columns
        order = np.lexsort((np.arange(len(keys)), netns, keys))
        last = np.ones(len(order), bool)  # of several rows about one end
        last[:-1] = (keys[order[1:]] != keys[order[:-1]]) | (netns[order[1:]] != netns[order[:-1]])
        new = order[last]
        place = np.searchsorted(self._keys, keys[new])
        slots = np.arange(len(self._keys), len(self._keys) + len(new), dtype=np.int32)
        self._make_columns(len(self._keys) + len(new))
        self._keys = np.insert(self._keys, place, keys[new])
        self._slots = np.insert(self._slots, place, slots)
        self._netns[slots], self._numbers[slots] = netns[new], numbers[new]
        self._opened[slots], self._ended[slots], self._seen_at[slots] = opened[new], ended[new], now
        if len(self._keys) > self._maximum:
            self._make_room(now)

    def _make_columns(self, size: int) -> None:
        """Long enough for so many ends."""
        if size <= len(self._netns):
            return
        more = max(size, 2 * len(self._netns)) - len(self._netns)
        for name in COLUMNS:
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(more, column.dtype)]))

    def _make_room(self, now: int) -> None:
        """Stale ones go, and of the others so many that there is room for a while: this looks at all."""
        seen_at = self._seen_at[self._slots]
        kept = np.flatnonzero(seen_at + self._fresh_ns >= np.uint64(now))
        surplus = len(kept) - self._maximum * 3 // 4
        if surplus > 0:
            self.evicted += surplus
            kept = np.sort(kept[np.argsort(seen_at[kept], kind="stable")[surplus:]])
        slots = self._slots[kept]
        for name in COLUMNS:
            column = getattr(self, name)
            column[: len(slots)] = column[slots]
        self._keys, self._slots = self._keys[kept], np.arange(len(kept), dtype=np.int32)
