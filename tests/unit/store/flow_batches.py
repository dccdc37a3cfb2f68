"""Batches of flows as the tcp and udp probes make them: the layouts of their C structs, and rows by column."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np

from collector.batch import Batch, BatchKind, Field, Rows, Schema
from collector.workload import Workload, WorkloadKind

OFFSET_NS = 1_790_000_000_000_000_000  # unix time minus boot time in these tests
SECOND = 1_000_000_000


def _names(*names: str, first: int = 0) -> dict[int, str]:
    return dict(enumerate(names, first))


EVENTS = _names("connecting", "open", "closed", "failed", "listening", "listen_ended")
ROLES = _names("unknown", "client", "server", "listener")
OUTCOMES = _names(
    "none", "closed", "reset_by_peer", "aborted", "timed_out", "refused", "unreachable", "abandoned", "no_local_port", "failed"
)
STATES = _names("established", "syn_sent", "syn_recv", "fin_wait1", "fin_wait2", "time_wait", "close", first=1)
EVIDENCE = _names("none", "connect", "descriptor", "close", "listener")

TCP_FIELDS: list[tuple[str, str, str, dict[int, str]]] = [
    ("flow", "<u8", "flow_id", {}),
    ("observed_at", "<u8", "boot_ns", {}),
    ("opened_at", "<u8", "boot_ns", {}),
    ("established_at", "<u8", "boot_ns", {}),
    ("connect_duration", "<u8", "duration_ns", {}),
    ("duration", "<u8", "duration_ns", {}),
    ("bytes_sent", "<u8", "byte_count", {}),
    ("bytes_received", "<u8", "byte_count", {}),
    ("cgroup", "<u8", "cgroup_id", {}),
    ("process_started_at", "<u8", "boot_ns", {}),
    ("local_address", "V16", "ip_address", {}),
    ("remote_address", "V16", "ip_address", {}),
    ("command", "S16", "command_name", {}),
    ("netns", "<u4", "netns_id", {}),
    ("process", "<u4", "process_id", {}),
    ("segments_sent", "<u4", "", {}),
    ("segments_received", "<u4", "", {}),
    ("retransmits", "<u4", "", {}),
    ("smoothed_rtt", "<u4", "duration_us", {}),
    ("minimum_rtt", "<u4", "duration_us", {}),
    ("error", "<i4", "error_number", {}),
    ("event", "<u4", "flow_event", EVENTS),
    ("role", "<u4", "flow_role", ROLES),
    ("outcome", "<u4", "flow_outcome", OUTCOMES),
    ("state", "<u4", "tcp_state", STATES),
    ("owner_evidence", "<u4", "owner_evidence", EVIDENCE),
    ("local_port", "<u2", "ip_port", {}),
    ("remote_port", "<u2", "ip_port", {}),
]
# The numbers of its enums differ from tcp's on purpose: names decide.
UDP_FIELDS: list[tuple[str, str, str, dict[int, str]]] = [
    ("flow", "<u8", "flow_id", {}),
    ("opened_at", "<u8", "boot_ns", {}),
    ("observed_at", "<u8", "boot_ns", {}),
    ("bytes_sent", "<u8", "byte_count", {}),
    ("bytes_received", "<u8", "byte_count", {}),
    ("datagrams_sent", "<u8", "", {}),
    ("datagrams_received", "<u8", "", {}),
    ("local_address", "V16", "ip_address", {}),
    ("remote_address", "V16", "ip_address", {}),
    ("command", "S16", "command_name", {}),
    ("process", "<u4", "process_id", {}),
    ("netns", "<u4", "netns_id", {}),
    ("role", "<u4", "flow_role", _names("server", "client", "unknown", first=7)),
    ("local_port", "<u2", "ip_port", {}),
    ("remote_port", "<u2", "ip_port", {}),
]


def _schema(probe: str, record: str, fields: list[tuple[str, str, str, dict[int, str]]]) -> Schema:
    dtype = np.dtype([(name, code) for name, code, _, _ in fields], align=True)
    return Schema(probe, record, dtype, tuple(Field(name, meaning, names) for name, _, meaning, names in fields))


TCP = _schema("tcp", "tcp_connection", TCP_FIELDS)
UDP = _schema("udp", "udp_flow", UDP_FIELDS)


def address(text: str) -> bytes:
    """The 16 bytes that the kernel half writes for an address."""
    parsed = ipaddress.ip_address(text)
    return parsed.packed if parsed.version == 6 else b"\0" * 10 + b"\xff\xff" + parsed.packed


def number(schema: Schema, field: str, name: str) -> int:
    """The number of an enum's name in this schema."""
    return next(value for value, text in schema.field(field).names.items() if text == name)


def batch(schema: Schema, kind: BatchKind, rows: list[dict[str, Any]]) -> Batch:
    """rows: values by field; enums by name, addresses as text, times in boot ns; `local` and `peer` are workload numbers."""
    array: Rows = np.zeros(len(rows), schema.dtype)
    for index, row in enumerate(rows):
        for name, value in row.items():
            if name not in ("local", "peer"):
                array[name][index] = _native(schema, name, value)
    columns = {side: np.array([row.get(side, 0) for row in rows], np.int32) for side in ("local", "peer")}
    return Batch(schema, kind, array, columns)


def _native(schema: Schema, name: str, value: Any) -> Any:
    field = schema.field(name)
    if field.names:
        return number(schema, name, value)
    if field.meaning == "ip_address":
        return np.void(address(value))
    return value


def tcp(flow: int, **columns: Any) -> dict[str, Any]:
    """One open client connection that began at boot second `flow` and was read two seconds later; `columns` change it."""
    row: dict[str, Any] = {
        "flow": flow,
        "opened_at": flow * SECOND,
        "observed_at": (flow + 2) * SECOND,
        "duration": 2 * SECOND,
        "local_address": "10.0.0.1",
        "remote_address": "10.0.0.2",
        "local_port": 30000 + flow % 30000,
        "remote_port": 80,
        "command": b"curl",
        "process": 4242,
        "event": "open",
        "role": "client",
        "outcome": "none",
        "state": "established",
    }
    return row | columns


def ended(flow: int, **columns: Any) -> dict[str, Any]:
    """The same connection when it closed."""
    return tcp(flow, **{"event": "closed", "outcome": "closed", **columns})


def snapshot(*rows: dict[str, Any]) -> Batch:
    return batch(TCP, BatchKind.SNAPSHOT, list(rows))


def events(*rows: dict[str, Any]) -> Batch:
    return batch(TCP, BatchKind.EVENTS, list(rows))


def udp_snapshot(*rows: dict[str, Any]) -> Batch:
    return batch(UDP, BatchKind.SNAPSHOT, list(rows))


def many_ended(count: int, seed: int = 1, first_flow: int = 1) -> Batch:
    """`count` closed connections between a few workloads, addresses and ports; half of them over IPv6."""
    random = np.random.default_rng(seed)
    rows = np.zeros(count, TCP.dtype)
    rows["flow"] = np.arange(first_flow, first_flow + count)
    rows["opened_at"] = random.integers(1, 10_000, count) * SECOND
    rows["duration"] = random.integers(0, 60 * SECOND, count)
    rows["observed_at"] = rows["opened_at"] + rows["duration"]
    for name, largest in (("bytes_sent", 1 << 20), ("bytes_received", 1 << 30), ("retransmits", 5), ("smoothed_rtt", 9000)):
        rows[name] = random.integers(0, largest, count)
    for name, names in (("role", ("client", "server")), ("outcome", ("closed", "refused", "reset_by_peer"))):
        numbers = [number(TCP, name, text) for text in names]
        rows[name] = random.choice(numbers, count)
    rows["event"] = number(TCP, "event", "closed")
    addresses = np.array([address(f"10.0.0.{n}") for n in range(8)] + [address(f"fd00::{n}") for n in range(8)], "V16")
    rows["local_address"], rows["remote_address"] = random.choice(addresses, count), random.choice(addresses, count)
    rows["local_port"], rows["remote_port"] = random.integers(1, 65535, count), random.choice([80, 443, 5432], count)
    rows["command"] = random.choice(np.array([b"nginx", b"curl", b"postgres"]), count)
    rows["process"] = random.integers(2, 300, count)
    columns = {side: random.integers(0, len(WORKLOADS), count, dtype=np.int32) for side in ("local", "peer")}
    return Batch(TCP, BatchKind.EVENTS, rows, columns)


POD_UID = "0c8b1c5e-52d4-4a70-9e0e-5d6e6a0f7a11"
CONTAINER_ID = "4f1d" * 16
WORKLOADS = [
    Workload(0, WorkloadKind.UNKNOWN, "unknown"),
    Workload(1, WorkloadKind.UNIT, "nginx.service"),
    Workload(2, WorkloadKind.POD, "cart-7d9f", "shop", POD_UID, CONTAINER_ID, "/kubepods/pod0c8b"),
    Workload(3, WorkloadKind.POD, "cart-7d9f", "stage", POD_UID.replace("0c", "1c"), "ab" * 32),
    Workload(4, WorkloadKind.CONTAINER, "redis", container_id="cd" * 32),
    Workload(5, WorkloadKind.PROCESS, "curl"),
    Workload(6, WorkloadKind.NAME, "api.example.org"),
]
