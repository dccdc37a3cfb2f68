"""One name lookup as clients see it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from collector.api.moments import write_moments
from collector.api.record_columns import NANOSECONDS, addresses, known, named, seconds, text, workload_columns
from collector.batch import Rows
from collector.store.columns import command_text
from collector.store.flow_filter import Names
from collector.store.workload_names import WorkloadNames

PIECE_ROWS = 500


class LookupRecord(BaseModel):
    """One question to a name server, as who asked saw it (role client) or as a name server on this node did (role server)."""

    id: int = text("Order of arrival in the agent, unique while it runs.", 311)
    time: str | None = text("When the question was sent.", "2026-11-23T08:00:00.250000Z")
    role: str = text("client: this node asked; server: this node was asked.", "client")
    question: str = text("The name.", "api.example.org")
    question_type: str = text("The type, in lower case, or its number.", "aaaa")
    response_code: str = text("noerror, nxdomain, servfail, refused, ... or timeout.", "noerror")
    answers: list[str] = text("Addresses in the answer.", ["192.0.2.7", "2001:db8::7"])
    answer_count: int = text("Records in the answer, of every type.", 3)
    duration_seconds: float | None = text("From question to answer; null when there was none.", 0.0021)
    query_count: int = text("How often the question was sent.", 1)
    truncated: bool = text("The answer did not fit; clients then ask again over TCP.", False)
    transport: str = text("udp or tcp.", "udp")
    local_workload: str = text("Who asked (role client) or was asked (role server).", "cart")
    local_namespace: str = text("Its namespace.", "shop")
    local_kind: str = text("Its kind.", "pod")
    local_pod: str | None = text("Name of its pod.", "cart-7d9f")
    local_container: str | None = text("Name of its container.", "server")
    local_pod_uid: str | None = text("UID of its pod.", "0c8b1c5e-52d4-4a70-9e0e-5d6e6a0f7a11")
    local_container_id: str | None = text("Id of its container.", "4f1d" * 16)
    local_address: str | None = text("Its address.", "10.0.0.1")
    process: str | None = text("The kernel's name of its process.", "cart-server")
    pid: int | None = text("Its process id.", 4242)
    peer_workload: str = text("The other end.", "dnsmasq.service")
    peer_address: str | None = text("Its address.", "10.0.0.53")
    peer_port: int | None = text("Its port.", 53)


LOOKUP_COLUMNS = tuple(LookupRecord.model_fields)


def lookup_pieces(rows: Rows, tables: Names, names: WorkloadNames) -> Iterator[list[dict[str, Any]]]:
    """Records of LOOKUP rows, shape (n,), some at a time, in order."""
    for start in range(0, len(rows), PIECE_ROWS):
        yield lookup_records(rows[start : start + PIECE_ROWS], tables, names)


def lookup_records(rows: Rows, tables: Names, names: WorkloadNames) -> list[dict[str, Any]]:
    """Records of LOOKUP rows, keys in the order of LOOKUP_COLUMNS."""
    nobody = [False] * len(rows)
    columns = {
        "id": rows["sequence"].tolist(),
        "time": write_moments(rows["time"]),
        **{name: named(rows[name], tables[name]) for name in ("role", "question_type", "response_code", "transport")},
        **{name: rows[name].tolist() for name in ("question", "answer_count", "query_count", "truncated")},
        "answers": [[_answer(answer) for answer in answers] for answers in rows["answers"].tolist()],
        "duration_seconds": seconds(rows["duration"], NANOSECONDS),
        **workload_columns("local", rows["local"], names),
        **workload_columns("peer", rows["peer"], names),
        "local_address": addresses(rows["local_address"], nobody),
        "peer_address": addresses(rows["remote_address"], nobody),
        "peer_port": known(rows["remote_port"].tolist()),
        "process": known([command_text(command) for command in rows["command"].tolist()]),
        "pid": known(rows["process"].tolist()),
    }
    in_order = [columns[name] for name in LOOKUP_COLUMNS]
    return [dict(zip(LOOKUP_COLUMNS, values, strict=True)) for values in zip(*in_order, strict=True)]


def _answer(answer: tuple[bytes, int]) -> str:
    address = ipaddress.IPv6Address(answer[0])
    return str(address.ipv4_mapped or address)
