"""Rows on their way out of the stores: what an exporter needs to read them without knowing the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from collector.batch import Rows


@dataclass(frozen=True, slots=True)
class StoredRows:
    """rows: of one store, shape (n,), never changed any more. names: coded column -> name by code.

    lost: how many rows before these nobody fetched in time.
    """

    rows: Rows
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lost: int = 0


class RowFeed(Protocol):
    def take(self, open_flows: bool = False) -> Mapping[str, StoredRows]:
        """flows (those that ended), requests and lookups since the last call; at the first call all that is kept.

        With open_flows also those: all flows that are open at this very moment, with their counters since they began.
        """
        ...

    def close(self) -> None:
        """No more rows are kept for `take`."""
        ...
