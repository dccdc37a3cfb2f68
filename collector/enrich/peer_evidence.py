"""How peers were found, counted by rows: each that a connection's peer is given to counts, although the peer is found once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from collector.batch import Batch, Column

COLUMN = "peer_evidence"
EVIDENCE = ("no peer", "connection", "flow", "listener", "cluster", "name", "network", "unknown")
NUMBERS = {name: number for number, name in enumerate(EVIDENCE)}
NO_PEER = NUMBERS["no peer"]


class PeerEvidence:
    """Counts the column that the enricher of peers adds; comes after what gives many rows the answer of one."""

    def __init__(self) -> None:
        self._rows = np.zeros(len(EVIDENCE), np.int64)

    def enrich(self, batch: Batch) -> None:
        column: Column | None = batch.columns.pop(COLUMN, None)
        if column is not None:
            self._rows += np.bincount(column, minlength=len(EVIDENCE))

    def rows(self) -> Mapping[str, int]:
        """Rows that have a peer at all, by how it was found; or unknown."""
        return {name: int(self._rows[number]) for name, number in NUMBERS.items() if number != NO_PEER}
