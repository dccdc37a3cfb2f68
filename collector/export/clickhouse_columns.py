"""Rows of the stores as columns for ClickHouse. Names are joined here, when rows leave: once per distinct value."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collector.batch import Column, Rows
from collector.export.clickhouse_native import (
    NativeColumn,
    encode_block,
    encode_lists,
    encode_numbers,
    encode_texts,
    encode_words,
)
from collector.export.clickhouse_tables import Table
from collector.row_hash import hash_rows
from collector.stored_rows import StoredRows
from collector.workload import Workload

NANOSECONDS, MICROSECONDS = 1e9, 1e6
PATH_PROTOCOLS = ("http", "websocket")
WORKLOAD_FIELDS: Mapping[str, Callable[[Workload], str]] = {
    "workload": lambda workload: workload.name,
    "namespace": lambda workload: workload.namespace,
    "kind": lambda workload: workload.kind.value,
    "pod": lambda workload: workload.pod_name,
    "container": lambda workload: workload.container_name,
    "pod_uid": lambda workload: workload.pod_uid,
    "container_id": lambda workload: workload.container_id,
}
NUMBERS = {"u1": "<u1", "u2": "<u2", "u4": "<u4", "u8": "<u8", "i8": "<i8", "moment": "<i8", "seconds": "<f8"}
# column of a table -> column of the store's rows, where they are not called the same
STORED = {
    "state": "event",
    "tcp_state": "state",
    "peer_port": "remote_port",
    "pid": "process",
    "network_namespace": "netns",
    "path": "resource",
}
SECONDS = {
    "duration_seconds": ("duration", NANOSECONDS),
    "connect_seconds": ("connect_duration", NANOSECONDS),
    "first_byte_seconds": ("first_byte", NANOSECONDS),
    "rtt_seconds": ("smoothed_rtt", MICROSECONDS),
    "minimum_rtt_seconds": ("minimum_rtt", MICROSECONDS),
}
Words = tuple[Column, Sequence[str]]  # which text each row has, and the texts


@dataclass(frozen=True, slots=True)
class Origin:
    """node: the node's name. workload: names behind a number, as they are now. run: a number for this run of the agent."""

    node: str
    workload: Callable[[int], Workload]
    run: int


def encode_rows(table: Table, stored: StoredRows, origin: Origin, batch: int, types: Mapping[str, str]) -> bytes:
    """One Native block of all rows."""
    reader = _RowReader(stored, origin, batch)
    columns = [NativeColumn(one.name, types[one.kind], reader.encode(table, one.name, one.kind)) for one in table.columns]
    return encode_block(columns, len(stored.rows))


class _RowReader:
    def __init__(self, stored: StoredRows, origin: Origin, batch: int) -> None:
        self._rows, self._names, self._origin, self._batch = stored.rows, stored.names, origin, batch
        self._sides: dict[str, tuple[Column, list[Workload]]] = {}

    def encode(self, table: Table, name: str, kind: str) -> bytes:
        """All values of one column of the table."""
        if kind in NUMBERS:
            return encode_numbers(self._numbers(table, name), NUMBERS[kind])
        if kind == "address":
            return self._rows[f"{'local' if name.startswith('local') else 'remote'}_address"].astype(">u8").tobytes()
        if kind == "addresses":
            return encode_lists([[address for address, _ in one] for one in self._rows["answers"].tolist()])
        which, texts = self._words(table, name)
        return encode_texts(which, texts) if kind == "text" else encode_words(which, texts)

    def _numbers(self, table: Table, name: str) -> Column:
        rows = self._rows
        if name == "batch":
            return np.full(len(rows), self._batch, np.uint64)
        if name == "flow" and table.name == "flows":
            return flow_numbers(rows, self._origin.run)
        if name == "time" and table.name == "flows":
            return np.where(rows["ended_at"] > 0, rows["ended_at"], rows["observed_at"])
        if name in SECONDS:
            stored, unit = SECONDS[name]
            return rows[stored] / unit
        return rows[STORED.get(name, name)]

    def _words(self, table: Table, name: str) -> Words:
        if name == "node":
            return np.zeros(len(self._rows), np.uint8), [self._origin.node]
        if name == "process":
            return distinct_commands(self._rows["command"])
        if name == "error" and table.name == "flows":
            return _distinct(self._rows["error"], lambda number: errno.errorcode.get(number, str(number)) if number else "")
        if name == "error":
            return self._coded("error_type")
        if name == "path":
            return self._paths()
        if name == "question":
            return _first_seen(self._rows["question"].tolist())
        side, _, field = name.partition("_")
        if side in ("local", "peer") and field in WORKLOAD_FIELDS:
            which, workloads = self._side(side)
            return which, [WORKLOAD_FIELDS[field](workload) for workload in workloads]
        return self._coded(STORED.get(name, name))

    def _coded(self, column: str) -> Words:
        names = self._names[column]
        return _distinct(self._rows[column], names.__getitem__)

    def _paths(self) -> Words:
        protocols = self._names["protocol"]
        allowed = [code for code, name in enumerate(protocols) if name in PATH_PROTOCOLS]
        shown = np.where(np.isin(self._rows["protocol"], allowed), self._rows["resource"], 0)
        return _distinct(shown, self._names["resource"].__getitem__)

    def _side(self, side: str) -> tuple[Column, list[Workload]]:
        if side not in self._sides:
            numbers, which = np.unique(self._rows[side], return_inverse=True)
            self._sides[side] = which, [self._origin.workload(number) for number in numbers.tolist()]
        return self._sides[side]


def flow_numbers(rows: Rows, run: int) -> Column:
    """32 random bits of the agent's run, then the order of arrival: uint64, shape (n,)."""
    low: Column = rows["sequence"] & np.uint64(0xFFFF_FFFF)
    return low | np.uint64((run & 0xFFFF_FFFF) << 32)


def _distinct(values: Column, text: Callable[[int], str]) -> Words:
    numbers, which = np.unique(values, return_inverse=True)
    return which, [text(number) for number in numbers.tolist()]


def distinct_commands(commands: Column) -> Words:
    """By a hash of the 16 bytes, which sorts ten times as fast as the bytes."""
    _, first, which = np.unique(hash_rows([commands]), return_index=True, return_inverse=True)
    return which, [_command_text(command) for command in commands[first].tolist()]


def _command_text(command: bytes) -> str:
    """What cannot be printed is escaped, as in the API: it may steer a terminal."""
    text = command.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _first_seen(texts: Sequence[str]) -> Words:
    places: dict[str, int] = {}
    which = np.array([places.setdefault(text, len(places)) for text in texts], np.uint32)
    return which, list(places)
