"""Which server request a call was made for, by the thread that did both. Pure; no link where anything else is possible.

A thread that serves one request at a time makes its calls for that request. A thread on which server requests overlap does
several things at once (an event loop, pipelining): there the thread proves nothing, and nothing is linked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from collector.batch import Column, Rows

SERVER = 2
SERVED_DTYPE = np.dtype([("thread", "u8"), ("start", "i8"), ("end", "i8"), ("flow", "u8"), ("seen", "i8"), ("answered", "?")])
LATEST = np.uint64(1 << 62)  # whatever a row says, sums stay in range
KEPT_ROWS = 131_072


class Cause(NamedTuple):
    """The server request of that connection that began then (boot ns)."""

    flow: int
    start: int


class ParentLinks:
    """Remembers the last server requests, sampled or not, to see what overlapped. Bounded: at most `limit` of them."""

    def __init__(self, limit: int = KEPT_ROWS) -> None:
        self._columns: dict[str, Column] = {name: np.zeros(0, SERVED_DTYPE[name]) for name in SERVED_DTYPE.names or ()}
        self._size = 0
        self._limit = limit
        self._written = 0
        self._clock = 0

    def observe(self, rows: Rows) -> None:
        """All rows of a batch of `request`. What had no answer is taken to have occupied its thread until now."""
        if not len(rows):
            return
        starts, durations = starts_of(rows), rows["duration"].copy()
        ends = starts + np.minimum(durations, LATEST).astype(np.int64)
        self._clock = max(self._clock, int(ends.max()))
        threads, answered = thread_of(rows), durations != 0
        served = {"thread": threads, "start": starts, "end": ends, "flow": rows["flow"], "answered": answered}
        known = (rows["role"] == SERVER) & (threads != 0)
        if not known.all() or len(rows) > self._limit:
            kept = np.flatnonzero(known)[-self._limit :]
            served = {name: column[kept] for name, column in served.items()}
        served["end"] = np.where(served["answered"], served["end"], self._clock)
        served["seen"] = np.full(len(served["end"]), self._clock)
        self._write(served)

    def causes(self, calls: Sequence[tuple[int, int]]) -> list[Cause | None]:
        """One per call, which is (thread as `thread_of` numbers it, start in boot ns).

        Ask as late as possible: a request that is still running is not known yet.
        """
        if not calls:
            return []
        asked = np.array([thread for thread, _ in calls], np.uint64)
        served = self._rows(np.flatnonzero(np.isin(self._columns["thread"][: min(self._written, self._limit)], asked)))
        served = served[np.lexsort((served["start"], served["thread"]))]
        single = served[~np.isin(served["thread"], busy_threads(served))]
        since = self._known_since()
        return [find_cause(single, thread, start) if thread and start >= since else None for thread, start in calls]

    def _rows(self, places: Column) -> Rows:
        rows = np.zeros(len(places), SERVED_DTYPE)
        for name, column in self._columns.items():
            rows[name] = column[places]
        return rows

    def _write(self, served: Mapping[str, Column]) -> None:
        """Grows up to the limit, then the oldest are overwritten."""
        count, at = len(served["thread"]), self._written % self._limit
        self._grow(min(self._written + count, self._limit))
        behind = min(count, self._limit - at)
        for name, column in self._columns.items():
            column[at : at + behind] = served[name][:behind]
            column[: count - behind] = served[name][behind:]
        self._written += count

    def _grow(self, size: int) -> None:
        if size > self._size:
            self._size = min(max(1024, 2 * size), self._limit)
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros(self._size - len(column), column.dtype)])

    def _known_since(self) -> int:
        """What overlapped a moment before this one may have been overwritten."""
        return int(self._columns["seen"][self._written % self._limit]) if self._written > self._limit else 0


def busy_threads(served: Rows) -> Column:
    """Threads on which two requests overlap; `served` is sorted by thread and start."""
    if len(served) < 2:
        return np.zeros(0, np.uint64)
    thread = served["thread"]
    same = thread[1:] == thread[:-1]
    overlapping = served["thread"][1:][same & (served["start"][1:] < served["end"][:-1])]
    return np.unique(overlapping)


def find_cause(served: Rows, thread: int, start: int) -> Cause | None:
    """The request that was being served there at that moment; `served` is sorted and does not overlap."""
    first, behind = np.searchsorted(served["thread"], np.array([thread, thread + 1], np.uint64))
    at = int(np.searchsorted(served["start"][first:behind], np.int64(min(start, int(LATEST))), "right")) - 1 + int(first)
    if at < first or not served["answered"][at] or start >= served["end"][at]:
        return None
    return Cause(int(served["flow"][at]), int(served["start"][at]))


def starts_of(rows: Rows) -> Column:
    """int64 boot ns."""
    starts: Column = np.minimum(rows["observed_at"], LATEST).astype(np.int64)
    return starts


def thread_of(rows: Rows) -> Column:
    """One number for process and thread, 0 where either is not known."""
    process, thread = rows["process"].astype(np.uint64), rows["thread"].astype(np.uint64)
    number: Column = (process << np.uint64(32)) | thread
    number[(process == 0) | (thread == 0)] = 0
    return number
