"""Rows of socket_exchange as the kernel makes them, for tests."""

from __future__ import annotations

import numpy as np

from collector.batch import Batch, BatchKind, Field, Rows, Schema

CLIENT, SERVER = 1, 2
FIELDS = [
    ("flow", "u8"), ("request_started_at", "u8"), ("request_ended_at", "u8"), ("response_started_at", "u8"),
    ("response_ended_at", "u8"), ("request_bytes", "u8"), ("response_bytes", "u8"), ("process_started_at", "u8"),
    ("cgroup", "u8"), ("local_address", "V16"), ("remote_address", "V16"), ("command", "S16"), ("netns", "u4"),
    ("process", "u4"), ("thread", "u4"), ("sequence", "u4"), ("role", "u4"), ("transport", "u4"), ("end", "u4"),
    ("local_port", "u2"), ("remote_port", "u2"), ("request_captured", "u2"), ("response_captured", "u2"),
    ("request", "u1", (192,)), ("response", "u1", (192,)),
]  # fmt: skip
DTYPE = np.dtype(FIELDS)
SCHEMA = Schema("socket_data", "socket_exchange", DTYPE, tuple(Field(str(entry[0])) for entry in FIELDS))


def exchange_row(request: bytes, response: bytes, *, flow: int = 1, role: int = SERVER, started: int = 1000) -> Rows:
    """One exchange as it is captured: 192 bytes of each side, the whole sizes; answered 500 ns later."""
    row = np.zeros(1, DTYPE)
    row["flow"], row["role"] = flow, role
    row["request_started_at"], row["request_ended_at"] = started, started + 1
    row["request_bytes"], row["response_bytes"] = len(request), len(response)
    row["request_captured"], row["response_captured"] = min(len(request), 192), min(len(response), 192)
    row["request"][0, : min(len(request), 192)] = np.frombuffer(request[:192], np.uint8)
    row["response"][0, : min(len(response), 192)] = np.frombuffer(response[:192], np.uint8)
    if response:
        row["response_started_at"], row["response_ended_at"] = started + 400, started + 500
    row["local_port"], row["remote_port"] = (80, 40000) if role == SERVER else (40000, 80)
    return row


def exchange_batch(*rows: Rows) -> Batch:
    return Batch(SCHEMA, BatchKind.EVENTS, np.concatenate(rows))
