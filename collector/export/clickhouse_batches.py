"""Collects rows as they come out of the stores and makes batches of them: by table and day, encoded and compressed at once."""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Iterator, Mapping

import numpy as np

from collector.export.clickhouse_columns import Origin, encode_rows
from collector.export.clickhouse_increase import FlowIncrease
from collector.export.clickhouse_spool import Parcel
from collector.export.clickhouse_tables import DAY_NS, MODERN, PLAIN, TABLES, Table
from collector.stored_rows import StoredRows

COMPRESSION = 1  # of gzip: half the time of 6 for a tenth more bytes
TYPES: Mapping[str, Mapping[str, str]] = {"modern": MODERN, "plain": PLAIN}


class BatchMaker:
    """For one thread. `lost`: rows that came faster than they were fetched."""

    def __init__(self, origin: Origin, rows_wanted: int, seconds_wanted: float) -> None:
        self._origin, self._rows_wanted, self._seconds_wanted = origin, rows_wanted, seconds_wanted
        self._increase = FlowIncrease()
        self._waiting: dict[str, list[StoredRows]] = {name: [] for name in TABLES}
        self._since: dict[str, float] = {}
        self.lost = 0

    def add(self, taken: Mapping[str, StoredRows], now: float) -> None:
        """What a RowFeed gave; now: monotonic seconds."""
        self.lost += sum(stored.lost for stored in taken.values())
        for name, stored in taken.items():
            if name == "open_flows":
                self._keep("flows", StoredRows(self._increase.of_open(stored.rows), stored.names), now)
            elif name == "flows":
                self._keep(name, StoredRows(self._increase.of_ended(stored.rows), stored.names), now)
            else:
                self._keep(name, stored, now)

    def batches(self, now: float, types: str, everything: bool = False) -> Iterator[Parcel]:
        """Of each table that has rows enough, or waited long enough, or of all."""
        for name, pieces in self._waiting.items():
            rows = sum(len(piece.rows) for piece in pieces)
            due = rows >= self._rows_wanted or now - self._since.get(name, now) >= self._seconds_wanted
            if rows and (due or everything):
                self._waiting[name] = []
                yield from self._encode(TABLES[name], pieces, types)

    def _keep(self, name: str, stored: StoredRows, now: float) -> None:
        if not len(stored.rows):
            return
        if not self._waiting[name]:
            self._since[name] = now
        self._waiting[name].append(stored)

    def _encode(self, table: Table, pieces: list[StoredRows], types: str) -> Iterator[Parcel]:
        """One batch for each day: an insert into one partition is stored whole or not at all."""
        by_day: dict[int, list[StoredRows]] = {}
        for piece in join_pieces(pieces):
            days = _times(table, piece) // DAY_NS
            for day in np.unique(days).tolist():
                by_day.setdefault(day, []).append(StoredRows(piece.rows[days == day], piece.names))
        for parts in by_day.values():
            yield self._encode_batch(table, parts, types)

    def _encode_batch(self, table: Table, parts: list[StoredRows], types: str) -> Parcel:
        number = secrets.randbits(64)
        blocks = b"".join(encode_rows(table, part, self._origin, number, TYPES[types]) for part in parts)
        body = gzip.compress(blocks, COMPRESSION, mtime=0)
        times = np.concatenate([_times(table, part) for part in parts])
        first, last = int(times.min()), int(times.max())
        return Parcel(table.name, number, sum(len(part.rows) for part in parts), first, last, types, len(body), body)


def join_pieces(pieces: list[StoredRows]) -> list[StoredRows]:
    """As few as can be: codes of passing words stand for others once their table was begun anew, all else only grows."""
    joined: list[list[StoredRows]] = []
    for piece in pieces:
        if joined and joined[-1][-1].names.get("resource") is piece.names.get("resource"):
            joined[-1].append(piece)
        else:
            joined.append([piece])
    return [StoredRows(np.concatenate([piece.rows for piece in group]), group[-1].names) for group in joined]


def _times(table: Table, stored: StoredRows) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if table.name != "flows":
        return stored.rows["time"]
    return np.where(stored.rows["ended_at"] > 0, stored.rows["ended_at"], stored.rows["observed_at"])
