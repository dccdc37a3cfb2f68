"""Requests on the thread of a sampled one, within it or around it: cause and effect are worth more as a pair than alone.

This only chooses what is kept; whether one caused the other is decided where more is known (collector/export/span_parents.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.batch import Column, Rows

KEPT_NS = 10_000_000_000
CALLS_PER_REQUEST = 32  # of a sampled server request, at most so many calls are kept for its sake
CLIENT, SERVER = 1, 2
GATHERED_AT = 64
PARTNER_ROLES = {frozenset((CLIENT,)): SERVER, frozenset((SERVER,)): CLIENT}  # the only one that anything could be related to
TIME_BITS = 54  # 208 days of nanoseconds; the rest numbers the thread
LATEST = np.uint64(1 << 62)  # whatever a row says, sums stay in range
KIN_DTYPE = np.dtype([("thread", "u8"), ("start", "i8"), ("end", "i8"), ("role", "u4"), ("room", "i4")])


class Places(NamedTuple):
    """Columns of rows of `request`, taken out once: a field of a wide row costs a cache miss each time. thread 0: not known."""

    thread: Column
    start: Column
    end: Column
    role: Column

    def select(self, which: Column) -> Places:
        """Those at the indexes, or where the mask says so."""
        return Places(self.thread[which], self.start[which], self.end[which], self.role[which])


def places_of(rows: Rows) -> Places:
    """thread: one number for process and thread, uint64; times: int64 boot ns."""
    process, thread = rows["process"].astype(np.uint64), rows["thread"].astype(np.uint64)
    known = (process != 0) & (thread != 0)
    start = np.minimum(rows["observed_at"], LATEST).astype(np.int64)
    end = start + np.minimum(rows["duration"], LATEST).astype(np.int64)
    return Places(
        np.where(known, (process << np.uint64(32)) | thread, 0),
        start,
        end,
        rows["role"].copy(),
    )


class SampledKin:
    """Bounded: the last `limit` sampled requests, none older than ten seconds."""

    def __init__(self, limit: int = 512) -> None:
        self._limit = limit
        self._kin = np.zeros(0, KIN_DTYPE)
        self._new: list[Places] = []  # remembered, not among _kin yet: most batches have nobody who could be related
        self._threads: Column = np.zeros(0, np.uint64)
        self._roles: set[int] = set()

    def __len__(self) -> int:
        self._gather()
        return len(self._kin)

    def remember(self, sampled: Places) -> None:
        """These were sampled."""
        if len(sampled.thread):
            self._new.append(sampled)
            self._roles.update(sampled.role.tolist())
        if len(self._new) >= GATHERED_AT:
            self._gather()

    def relatives(self, places: Places) -> Column:
        """bool (n,): server requests around a remembered call, calls within a remembered server request."""
        found: Column = np.zeros(len(places.thread), np.bool_)
        partners = PARTNER_ROLES.get(frozenset(self._roles - {0}), 0)
        if not self._roles or not len(found):
            return found
        at = np.flatnonzero(places.role == partners if partners else places.role != 0)
        if not len(at):
            return found
        self._gather()
        at = at[np.isin(places.thread[at], self._threads)]
        if len(at):
            partner = self._partners(places.select(at))
            found[at[partner >= 0]] = self._take_room(partner[partner >= 0])
        return found

    def _gather(self) -> None:
        """Sorts in what is new, forgets what is old or has no room for relatives any more."""
        if self._new:
            kin = np.zeros(sum(len(places.thread) for places in self._new), KIN_DTYPE)
            for name, parts in zip(Places._fields, zip(*self._new, strict=True), strict=True):
                kin[name] = np.concatenate(parts)
            kin["room"] = np.where(kin["role"] == SERVER, CALLS_PER_REQUEST, 1)
            self._kin = np.concatenate([self._kin, kin[(kin["thread"] != 0) & (kin["role"] != 0)]])[-self._limit :]
            self._new.clear()
        newest = self._kin["end"].max(initial=0)
        self._kin = self._kin[(self._kin["end"] > newest - KEPT_NS) & (self._kin["room"] > 0)]
        self._threads = np.unique(self._kin["thread"])
        self._roles = set(self._kin["role"].tolist())

    def _partners(self, rows: Places) -> Column:
        """Index of a remembered relative of each row, -1 none. All threads are known."""
        kin = self._kin
        base = int(kin["start"].min()) - 1
        begins = self._sortable(rows.thread, rows.start - base)
        order = np.argsort(self._sortable(kin["thread"], kin["start"] - base))
        calls, servers = (order[kin["role"][order] == role] for role in (CLIENT, SERVER))
        partners: Column = np.full(len(rows.thread), -1, np.int64)
        if len(calls):
            sorted_calls = self._sortable(kin["thread"][calls], kin["start"][calls] - base)
            first = np.searchsorted(sorted_calls, begins)
            behind = np.searchsorted(sorted_calls, self._sortable(rows.thread, rows.end - base), "right")
            inside = (rows.role == SERVER) & (behind > first)
            partners[inside] = calls[first[inside]]
        if len(servers):
            sorted_servers = self._sortable(kin["thread"][servers], kin["start"][servers] - base)
            last = servers[np.maximum(np.searchsorted(sorted_servers, begins, "right") - 1, 0)]
            inside = (kin["thread"][last] == rows.thread) & (kin["start"][last] <= rows.start) & (rows.start <= kin["end"][last])
            inside &= rows.role == CLIENT
            partners[inside] = last[inside]
        return partners

    def _sortable(self, threads: Column, times: Column) -> Column:
        """By thread and time; times before the first of them all are 0."""
        numbers = np.searchsorted(self._threads, threads).astype(np.uint64)
        clipped = np.clip(times, 0, (1 << TIME_BITS) - 1).astype(np.uint64)
        sortable: Column = (numbers << np.uint64(TIME_BITS)) | clipped
        return sortable

    def _take_room(self, partners: Column) -> Column:
        """Which of the rows fit into what is kept for their partner's sake."""
        order = np.argsort(partners, kind="stable")
        names, first, counts = np.unique(partners[order], return_index=True, return_counts=True)
        fits: Column = np.zeros(len(partners), np.bool_)
        fits[order] = np.arange(len(partners)) - np.repeat(first, counts) < self._kin["room"][partners[order]]
        self._kin["room"][names] -= np.minimum(counts, self._kin["room"][names]).astype(np.int32)
        return fits
