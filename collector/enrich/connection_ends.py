"""The ends of connections that are on this node, findable by what their other end looks like."""

from __future__ import annotations

import numpy as np

from collector.batch import Column
from collector.workload import UNKNOWN

END = np.dtype([("key", "<u8"), ("netns", "<u4"), ("number", "<i4"), ("seen_at", "<u8")])
CANDIDATES = 4  # more ends than that with one 4-tuple are ambiguous anyway


class ConnectionEnds:
    """Bounded: `maximum` ends, the one seen longest ago goes first; none counts that was not seen for `fresh_ns`.

    key: a hash of protocol, local address and port, remote address and port.
    """

    def __init__(self, maximum: int, fresh_ns: int) -> None:
        self._maximum, self._fresh_ns = maximum, fresh_ns
        self._ends = np.zeros(0, END)  # sorted by key, unique in (key, netns)
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, keys: Column, netns: Column, numbers: Column, now: int) -> None:
        """These ends exist at `now` (boot_ns). An end seen before takes the new number; UNKNOWN says nothing."""
        known = numbers != UNKNOWN
        keys, netns, numbers = keys[known], netns[known], numbers[known]
        place, found = self._locate(keys, netns)
        self._ends["netns"][place[found]] = netns[found]
        self._ends["number"][place[found]] = numbers[found]
        self._ends["seen_at"][place[found]] = now
        if found.all():
            return
        new = np.zeros(int(np.count_nonzero(~found)), END)
        new["key"], new["netns"], new["number"], new["seen_at"] = keys[~found], netns[~found], numbers[~found], now
        self._insert(last_of_each(new), now)

    def find(self, keys: Column, netns: Column, same_netns_only: Column, now: int) -> Column:
        """int32 per row: the number of the one end with that key; UNKNOWN when there is none, or more than one.

        An end in the row's own network namespace is certain. Elsewhere it is an answer only if it is the only one, and
        never for rows marked in `same_netns_only`.
        """
        start = np.searchsorted(self._ends["key"], keys)
        own = np.full(len(keys), UNKNOWN, np.int32)
        other = np.full(len(keys), UNKNOWN, np.int32)
        others = np.zeros(len(keys), np.uint8)
        for step in range(CANDIDATES):
            place = np.minimum(start + step, max(len(self._ends) - 1, 0))
            if not len(self._ends):
                break
            end = self._ends[place]
            match = (start + step < len(self._ends)) & (end["key"] == keys) & (end["seen_at"] + self._fresh_ns >= now)
            if not match.any() and step:
                break
            here = match & (end["netns"] == netns)
            own[here] = end["number"][here]
            there = match & ~here
            other[there] = end["number"][there]
            others += there
        elsewhere = (others == 1) & ~same_netns_only
        return np.where(own != UNKNOWN, own, np.where(elsewhere, other, UNKNOWN)).astype(np.int32)

    def _locate(self, keys: Column, netns: Column) -> tuple[Column, Column]:
        """(position, whether the end is there). Of too many ends with one key the last gives way."""
        place = np.searchsorted(self._ends["key"], keys)
        found = np.zeros(len(keys), bool)
        for _ in range(CANDIDATES if len(self._ends) else 0):
            within = np.minimum(place, len(self._ends) - 1)
            end = self._ends[within]
            same_key = (place < len(self._ends)) & (end["key"] == keys)
            found |= same_key & (end["netns"] == netns)
            further = same_key & ~found
            if not further.any():
                return place, found
            place = place + further
        too_many = place - np.searchsorted(self._ends["key"], keys) == CANDIDATES
        return place - too_many, found | too_many

    def _insert(self, new: Column, now: int) -> None:
        self._ends = np.insert(self._ends, np.searchsorted(self._ends["key"], new["key"]), new)
        if len(self._ends) <= self._maximum:
            return
        fresh = self._ends[self._ends["seen_at"] + self._fresh_ns >= now]
        surplus = len(fresh) - self._maximum * 3 // 4  # room for a while: this looks at all
        if surplus > 0:
            self.evicted += surplus
            newest = np.sort(np.argsort(fresh["seen_at"], kind="stable")[surplus:])
            fresh = fresh[newest]
        self._ends = fresh


def last_of_each(ends: Column) -> Column:
    """Sorted by key; of several with the same key and network namespace the last."""
    order = np.lexsort((np.arange(len(ends)), ends["netns"], ends["key"]))
    ends = ends[order]
    last = np.ones(len(ends), bool)
    last[:-1] = (ends["key"][1:] != ends["key"][:-1]) | (ends["netns"][1:] != ends["netns"][:-1])
    return ends[last]
