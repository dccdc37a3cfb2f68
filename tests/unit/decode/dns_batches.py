"""Batches of dns_message, with the columns of struct dns_message in probes/dns/probe.bpf.c."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dns_wire import mapped

from collector.batch import Batch, BatchKind, Field, Schema

PAYLOAD_BYTES = 512
UDP, TCP = 0, 1
SENT, RECEIVED = 0, 1
MESSAGE = np.dtype(
    [
        ("flow", "u8"), ("observed_at", "u8"), ("cgroup", "u8"), ("process_started_at", "u8"), ("local_address", "V16"),
        ("remote_address", "V16"), ("command", "S16"), ("process", "u4"), ("netns", "u4"), ("direction", "u4"),
        ("transport", "u4"), ("sequence", "u4"), ("payload_length", "u4"), ("captured_length", "u4"), ("local_port", "u2"),
        ("remote_port", "u2"), ("payload", "u1", (PAYLOAD_BYTES,)),
    ]
)  # fmt: skip
ENUMS = {"direction": {SENT: "sent", RECEIVED: "received"}, "transport": {UDP: "udp", TCP: "tcp"}}
SCHEMA = Schema(
    "dns", "dns_message", MESSAGE, tuple(Field(name, "", ENUMS.get(name, {})) for name in MESSAGE.names or ())
)  # fmt: skip
CLIENT, SERVER = mapped(10, 0, 0, 1), mapped(10, 0, 0, 53)
AT_CLIENT = {"local_address": CLIENT, "remote_address": SERVER, "local_port": 40000, "remote_port": 53}
AT_SERVER = {"local_address": SERVER, "remote_address": CLIENT, "local_port": 53, "remote_port": 40000}
MILLISECOND = 1_000_000


def client_row(at_ms: float, payload: bytes, *, sent: bool, **more: object) -> np.ndarray:
    """A message as the client's socket sees it; more: columns that differ from the usual."""
    return _row(at_ms, payload, sent, AT_CLIENT | more)


def server_row(at_ms: float, payload: bytes, *, sent: bool, **more: object) -> np.ndarray:
    return _row(at_ms, payload, sent, AT_SERVER | more)


def _row(at_ms: float, payload: bytes, sent: bool, columns: dict[str, object]) -> np.ndarray:
    row = np.zeros(1, MESSAGE)
    captured = payload[:PAYLOAD_BYTES]
    row["observed_at"] = int(at_ms * MILLISECOND)
    row["direction"] = SENT if sent else RECEIVED
    row["payload_length"], row["captured_length"] = len(payload), len(captured)
    row["payload"][0, : len(captured)] = np.frombuffer(captured, np.uint8)
    row["netns"], row["flow"], row["cgroup"] = 1, 9, 77
    if sent:
        row["process"], row["process_started_at"], row["command"] = 1234, 5, b"asker"
    for name, value in columns.items():
        row[name] = np.void(value) if isinstance(value, bytes) and len(value) == 16 else value
    return row


def batch(rows: Sequence[np.ndarray]) -> Batch:
    return Batch(SCHEMA, BatchKind.EVENTS, np.concatenate(rows) if rows else np.empty(0, MESSAGE))
