"""Counters of flows as increases since their row before: sums over any time are right, however long a flow lives."""

from __future__ import annotations

import numpy as np

from collector.batch import Rows

COUNTERS = ("bytes_sent", "bytes_received", "packets_sent", "packets_received", "retransmits")
TOLD = np.dtype([("sequence", "u8"), *((name, "u8") for name in COUNTERS)])


class FlowIncrease:
    """What was told of each open flow, sorted by sequence; as many as were open when last asked."""

    def __init__(self) -> None:
        self._told: np.ndarray[tuple[int], np.dtype[np.void]] = np.zeros(0, TOLD)

    def of_ended(self, rows: Rows) -> Rows:
        """The last increase of flows that ended (each once); they are forgotten. A copy, shape (len(rows),)."""
        increased, _ = self._increase(rows)
        self._told = self._told[~np.isin(self._told["sequence"], rows["sequence"])]
        return increased

    def of_open(self, rows: Rows) -> Rows:
        """Rows of those among all open flows that are new or whose counters moved, with their increases."""
        increased, known = self._increase(rows)
        told = np.zeros(len(rows), TOLD)
        for name in TOLD.names or ():
            told[name] = rows[name]
        self._told = told[np.argsort(told["sequence"], kind="stable")]
        moved = np.zeros(len(rows), bool)
        for name in COUNTERS:
            moved |= increased[name] > 0
        return increased[moved | ~known]

    def _increase(self, rows: Rows) -> tuple[Rows, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """A copy with increases, and which rows were told of before."""
        increased = rows.copy()
        if not len(self._told):
            return increased, np.zeros(len(rows), bool)
        place = np.minimum(np.searchsorted(self._told["sequence"], rows["sequence"]), len(self._told) - 1)
        known = self._told["sequence"][place] == rows["sequence"]
        for name in COUNTERS:
            before = np.where(known, self._told[name][place], 0)
            now = rows[name].astype(np.uint64)
            increased[name] = np.where(now >= before, now - before, now)  # a counter that went back began anew
        return increased, known
