"""The flows of one protocol that exist now, replaced by every snapshot."""

from __future__ import annotations

import numpy as np

from collector.batch import Column, Rows
from collector.store.flow_rows import FLOW

SNAPSHOTS_MISSED_MAX = 2
CLOCK_STEP_NS = 1_000_000_000


class LiveFlows:
    """Rows sorted by `flow`, at most `capacity`. Arrays are replaced, never changed, so a view needs no copy."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.over_capacity = 0  # rows of snapshots that found no room, counted at each snapshot
        self._rows: Rows = np.zeros(0, FLOW)
        self._alive: Column = np.zeros(0, bool)
        self._missed: Column = np.zeros(0, np.uint8)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._alive))

    def view(self) -> tuple[Rows, Column]:
        """Rows and the mask of those still alive; neither is to be written to."""
        return self._rows, self._alive

    def recognise(self, rows: Rows) -> Column:
        """Gives known flows among `rows` their place in the order of arrival and their start; mask of the others.

        A start computed anew differs by what measuring the clock's offset cost; it moves only when the clock was stepped.
        """
        position, known = self._find(rows["flow"])
        before = self._rows[position[known]]
        for name in ("sequence", "time"):
            rows[name][known] = before[name]
        started = rows["started_at"][known]
        steady = np.abs(started - before["started_at"]) < CLOCK_STEP_NS
        rows["started_at"][known] = np.where(steady, before["started_at"], started)
        return ~known

    def replace(self, rows: Rows) -> Rows:
        """Takes a snapshot (each flow once); gives the rows that were missing twice in a row, now forgotten."""
        position, known = self._find(rows["flow"])
        seen = np.zeros(len(self._rows), bool)
        seen[position[known]] = True
        missed = self._missed + 1
        missing = self._alive & ~seen
        kept = missing & (missed < SNAPSHOTS_MISSED_MAX)
        gone: Rows = self._rows[missing & ~kept]
        self._set(np.concatenate([rows, self._rows[kept]]), np.concatenate([np.zeros(len(rows), np.uint8), missed[kept]]))
        return gone

    def update(self, rows: Rows) -> None:
        """Takes single flows (each once) that began or changed between two snapshots."""
        position, known = self._find(rows["flow"])
        kept = self._alive.copy()
        kept[position[known]] = False
        self._set(np.concatenate([rows, self._rows[kept]]), np.concatenate([np.zeros(len(rows), np.uint8), self._missed[kept]]))

    def end(self, flows: Column) -> None:
        """Forgets these flows."""
        position, known = self._find(flows)
        if known.any():
            self._alive = self._alive.copy()
            self._alive[position[known]] = False

    def _find(self, flows: Column) -> tuple[Column, Column]:
        """Position of each flow among the rows, and whether it is there at all; both of shape (len(flows),)."""
        if not len(self._rows):
            return np.zeros(len(flows), np.intp), np.zeros(len(flows), bool)
        position = np.minimum(np.searchsorted(self._rows["flow"], flows), len(self._rows) - 1)
        return position, (self._rows["flow"][position] == flows) & self._alive[position]

    def _set(self, rows: Rows, missed: Column) -> None:
        if len(rows) > self.capacity:
            self.over_capacity += len(rows) - self.capacity
            oldest = np.argsort(rows["sequence"], kind="stable")[: self.capacity]
            rows, missed = rows[oldest], missed[oldest]
        if not (rows["flow"][1:] > rows["flow"][:-1]).all():
            order = np.argsort(rows["flow"], kind="stable")
            rows, missed = rows[order], missed[order]
        self._rows, self._missed, self._alive = rows, missed, np.ones(len(rows), bool)
