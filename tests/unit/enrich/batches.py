"""Batches of process, cgroup, flow and lookup records as the probes make them, by column."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np

from collector.batch import Batch, BatchKind, Field, Schema

SECOND = 1_000_000_000
UID = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9"
OTHER_UID = "99999999-5f60-4718-8293-a4b5c6d7e8f9"
ONE = "3c6f0a" + "9d" * 29
TWO = "7be21f" + "40" * 29
POD_PATH = f"/kubepods/burstable/pod{UID}/{ONE}"
OTHER_POD_PATH = f"/kubepods/besteffort/pod{OTHER_UID}/{TWO}"
CONTAINER_PATH = f"/docker/{TWO}"
UNIT_PATH = "/system.slice/nginx.service"

Layout = list[tuple[str, str, str]]
NAMES = {
    "process_event_kind": ("existing", "started", "executed", "exited", "oom_killed"),
    "process_outcome": ("running", "succeeded", "failed", "killed", "oom_killed"),
    "process_signal": ("none", "sighup", "sigint"),
    "cgroup_event_kind": ("existing", "created", "removed", "renamed", "attached"),
    "flow_event": ("connecting", "open", "closed", "failed", "listening", "listen_ended"),
    "flow_role": ("unknown", "client", "server", "listener"),
}
PROCESS: Layout = [
    ("observed_at", "<u8", "boot_ns"),
    ("process_started_at", "<u8", "boot_ns"),
    ("lifetime", "<u8", "duration_ns"),
    ("cgroup", "<u8", "cgroup_id"),
    ("process", "<u4", "process_id"),
    ("parent", "<u4", "process_id"),
    ("creator", "<u4", "process_id"),
    ("user", "<u4", "user_id"),
    ("netns", "<u4", "netns_id"),
    ("exit_status", "<u4", ""),
    ("event", "<u4", "process_event_kind"),
    ("outcome", "<u4", "process_outcome"),
    ("signal", "<u4", "process_signal"),
    ("command", "S16", "command_name"),
    ("executable", "S128", ""),
]
CGROUP: Layout = [
    ("observed_at", "<u8", "boot_ns"),
    ("process_started_at", "<u8", "boot_ns"),
    ("cgroup", "<u8", ""),
    ("hierarchy", "<u4", ""),
    ("process", "<u4", "process_id"),
    ("event", "<u4", "cgroup_event_kind"),
    ("path", "S384", ""),
]
FLOW: Layout = [
    ("flow", "<u8", "flow_id"),
    ("observed_at", "<u8", "boot_ns"),
    ("opened_at", "<u8", "boot_ns"),
    ("cgroup", "<u8", "cgroup_id"),
    ("process_started_at", "<u8", "boot_ns"),
    ("local_address", "V16", "ip_address"),
    ("remote_address", "V16", "ip_address"),
    ("command", "S16", "command_name"),
    ("netns", "<u4", "netns_id"),
    ("process", "<u4", "process_id"),
    ("event", "<u4", "flow_event"),
    ("role", "<u4", "flow_role"),
    ("local_port", "<u2", "ip_port"),
    ("remote_port", "<u2", "ip_port"),
]
LOOKUP: Layout = [("observed_at", "<u8", "boot_ns"), ("process", "<u4", "process_id")]


def schema_of(record: str, layout: Layout) -> Schema:
    dtype = np.dtype([(name, code) for name, code, _ in layout])
    fields = tuple(Field(name, meaning, dict(enumerate(NAMES.get(meaning, ())))) for name, _, meaning in layout)
    return Schema(record.partition("_")[0], record, dtype, fields)


PROCESS_SCHEMA = schema_of("process_event", PROCESS)
CGROUP_SCHEMA = schema_of("cgroup_event", CGROUP)
TCP_SCHEMA = schema_of("tcp_connection", FLOW)
UDP_SCHEMA = schema_of("udp_flow", FLOW)
LOOKUP_SCHEMA = schema_of("dns_lookup", LOOKUP)


def batch_of(schema: Schema, *rows: dict[str, Any], kind: BatchKind = BatchKind.EVENTS) -> Batch:
    """One row per dict: enum fields by name, addresses and texts as text, what is not given is zero."""
    table = np.zeros(len(rows), schema.dtype)
    for index, row in enumerate(rows):
        for name, value in row.items():
            table[name][index] = encode(schema, name, value)
    return Batch(schema, kind, table)


def encode(schema: Schema, name: str, value: Any) -> Any:
    field = schema.field(name)
    if field.meaning == "ip_address":
        return np.void(address(value))
    if isinstance(value, str) and field.names:
        return {known: number for number, known in field.names.items()}[value]
    return value.encode() if isinstance(value, str) else value


def address(text: str) -> bytes:
    parsed = ipaddress.ip_address(text)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def processes(*rows: dict[str, Any]) -> Batch:
    return batch_of(PROCESS_SCHEMA, *rows)


def cgroups(*rows: dict[str, Any]) -> Batch:
    return batch_of(CGROUP_SCHEMA, *rows)


def event(kind: str, process: int, at: int, **more: Any) -> dict[str, Any]:
    """A row of process_event; the process started at `at` unless `process_started_at` says otherwise."""
    return {"event": kind, "process": process, "observed_at": at, "process_started_at": at, "cgroup": 1} | more


def attached(process: int, at: int, path: str, hierarchy: int = 4, **more: Any) -> dict[str, Any]:
    return {"event": "attached", "process": process, "observed_at": at, "path": path, "hierarchy": hierarchy} | more


def tcp(*rows: dict[str, Any]) -> Batch:
    return batch_of(TCP_SCHEMA, *rows)


def udp(*rows: dict[str, Any]) -> Batch:
    return batch_of(UDP_SCHEMA, *rows)


def lookups(*rows: tuple[int, str, list[tuple[str, int]]]) -> Batch:
    """(observed at, question, (address, TTL) pairs) each."""
    batch = batch_of(LOOKUP_SCHEMA, *({"observed_at": at} for at, _, _ in rows))
    answers = np.empty(len(rows), object)
    answers[:] = [tuple((address(text), ttl) for text, ttl in pairs) for _, _, pairs in rows]
    batch.columns = {"question": np.array([question for _, question, _ in rows], object), "answers": answers}
    return batch
