"""Batches of one made-up record with a field of every kind that aggregation meets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from collector.batch import Batch, BatchKind, Column, Field, Schema

EVENTS = {0: "open", 1: "closed", 2: "failed"}
DTYPE = np.dtype(
    [
        ("flow", "<u8"), ("opened_at", "<u8"), ("established_at", "<u8"), ("duration", "<u8"), ("bytes", "<u8"),
        ("address", "V16"), ("command", "S16"), ("segments", "<u4"), ("rtt", "<u4"), ("error", "<i4"), ("event", "<u4"),
        ("port", "<u2"), ("last", "?"), ("small", "u1"),
    ]
)  # fmt: skip
MEANINGS = {
    "flow": "flow_id", "opened_at": "boot_ns", "established_at": "boot_ns", "duration": "duration_ns", "bytes": "byte_count",
    "address": "ip_address", "command": "command_name", "rtt": "duration_us", "error": "error_number",
    "event": "flow_event", "port": "ip_port",
}  # fmt: skip
FIELDS = tuple(Field(name, MEANINGS.get(name, ""), EVENTS if name == "event" else {}) for name in DTYPE.names or ())
SCHEMA = Schema("tcp", "flow_row", DTYPE, FIELDS)


def make_batch(
    kind: BatchKind = BatchKind.EVENTS, added: dict[str, Sequence[Any]] | None = None, **columns: Sequence[Any]
) -> Batch:
    """columns: field -> values, the others are zero; added: what enrichers would have put there."""
    length = len(next(iter(columns.values())))
    rows = np.zeros(length, DTYPE)
    for name, values in columns.items():
        rows[name] = values
    identities: dict[str, Column] = {"local": np.zeros(length, np.int32), "peer": np.zeros(length, np.int32)}
    return Batch(SCHEMA, kind, rows, {**identities, **{name: np.asarray(values) for name, values in (added or {}).items()}})


def snapshot(**columns: Sequence[Any]) -> Batch:
    return make_batch(BatchKind.SNAPSHOT, None, **columns)


def ipv4(text: str) -> np.void:
    return np.void(b"\0" * 10 + b"\xff\xff" + bytes(map(int, text.split("."))))
