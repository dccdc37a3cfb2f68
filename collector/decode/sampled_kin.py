"""Requests on the thread of a sampled one, within it or around it: cause and effect are worth more as a pair than alone.

This only chooses what is kept; whether one caused the other is decided where more is known (collector/export/span_parents.py).
"""

from __future__ import annotations

import numpy as np

from collector.batch import Column, Rows

KEPT_NS = 10_000_000_000
CALLS_PER_REQUEST = 32  # of a sampled server request, at most so many calls are kept for its sake
CLIENT, SERVER = 1, 2
TIME_BITS = 54  # 208 days of nanoseconds; the rest numbers the thread
KIN_DTYPE = np.dtype([("thread", "u8"), ("start", "i8"), ("end", "i8"), ("role", "u4"), ("room", "i4")])


class SampledKin:
    """Bounded: the last `limit` sampled requests, none older than ten seconds."""

    def __init__(self, limit: int = 512) -> None:
        self._limit = limit
        self._kin = np.zeros(0, KIN_DTYPE)
        self._threads: Column = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return len(self._kin)

    def remember(self, rows: Rows) -> None:
        """These rows of `request` were sampled."""
        known = rows[is_placed(rows)]
        kin = np.zeros(len(known), KIN_DTYPE)
        kin["thread"], kin["role"] = thread_of(known), known["role"]
        kin["start"], kin["end"] = known["observed_at"], known["observed_at"] + known["duration"]
        kin["room"] = np.where(known["role"] == SERVER, CALLS_PER_REQUEST, 1)
        both = np.concatenate([self._kin, kin])[-self._limit :]
        newest = both["end"].max(initial=0)
        self._kin = both[(both["end"] > newest - KEPT_NS) & (both["room"] > 0)]
        self._threads = np.unique(self._kin["thread"])

    def relatives(self, rows: Rows) -> Column:
        """bool (n,): server requests around a remembered call, calls within a remembered server request."""
        found: Column = np.zeros(len(rows), np.bool_)
        if not len(self._kin) or not len(rows):
            return found
        roles = set(self._kin["role"].tolist())
        wanted = is_placed(rows) & (rows["role"] != next(iter(roles)) if len(roles) == 1 else True)
        at = np.flatnonzero(wanted)
        at = at[np.isin(thread_of(rows[at]), self._threads)]
        if len(at):
            partners = self._partners(rows[at])
            found[at[partners >= 0]] = self._take_room(partners[partners >= 0])
        return found

    def _partners(self, rows: Rows) -> Column:
        """Index of a remembered relative of each row, -1 none. All threads are known."""
        base = int(self._kin["start"].min()) - 1
        starts = self._places(thread_of(rows), rows["observed_at"].astype(np.int64) - base)
        ends = self._places(thread_of(rows), (rows["observed_at"] + rows["duration"]).astype(np.int64) - base)
        order = np.argsort(self._places(self._kin["thread"], self._kin["start"] - base))
        calls, servers = (order[self._kin["role"][order] == role] for role in (CLIENT, SERVER))
        partners: Column = np.full(len(rows), -1, np.int64)
        if len(calls):
            places = self._places(self._kin["thread"][calls], self._kin["start"][calls] - base)
            first = np.searchsorted(places, starts)
            inside = (rows["role"] == SERVER) & (np.searchsorted(places, ends, "right") > first)
            partners[inside] = calls[first[inside]]
        if len(servers):
            places = self._places(self._kin["thread"][servers], self._kin["start"][servers] - base)
            last = servers[np.maximum(np.searchsorted(places, starts, "right") - 1, 0)]
            kin, begun = self._kin[last], rows["observed_at"].astype(np.int64)
            inside = (kin["thread"] == thread_of(rows)) & (kin["start"] <= begun) & (begun <= kin["end"])
            inside &= rows["role"] == CLIENT
            partners[inside] = last[inside]
        return partners

    def _places(self, threads: Column, times: Column) -> Column:
        """Sortable by thread and time; times before the first of them all are 0."""
        numbers = np.searchsorted(self._threads, threads).astype(np.uint64)
        clipped = np.clip(times, 0, (1 << TIME_BITS) - 1).astype(np.uint64)
        places: Column = (numbers << np.uint64(TIME_BITS)) | clipped
        return places

    def _take_room(self, partners: Column) -> Column:
        """Which of the rows fit into what is kept for their partner's sake."""
        order = np.argsort(partners, kind="stable")
        names, first, counts = np.unique(partners[order], return_index=True, return_counts=True)
        fits: Column = np.zeros(len(partners), np.bool_)
        fits[order] = np.arange(len(partners)) - np.repeat(first, counts) < self._kin["room"][partners[order]]
        self._kin["room"][names] -= np.minimum(counts, self._kin["room"][names]).astype(np.int32)
        return fits


def is_placed(rows: Rows) -> Column:
    """Where process, thread and role are known."""
    placed: Column = (rows["process"] != 0) & (rows["thread"] != 0) & (rows["role"] != 0)
    return placed


def thread_of(rows: Rows) -> Column:
    """One number for process and thread."""
    number: Column = (rows["process"].astype(np.uint64) << np.uint64(32)) | rows["thread"].astype(np.uint64)
    return number
