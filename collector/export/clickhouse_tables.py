"""The tables in ClickHouse: every column once, with its kind and what it means. Types and statements come from here.

Columns are named as the fields of the API's records, so that who knows one knows the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# kind -> type; a server older than 20.1 (Debian 12 has 18.16) knows neither DateTime64 nor IPv6.
MODERN: Mapping[str, str] = {
    "moment": "DateTime64(9, 'UTC')",
    "word": "LowCardinality(String)",
    "text": "String",
    "address": "IPv6",
    "addresses": "Array(IPv6)",
    "seconds": "Float64",
    "u1": "UInt8",
    "u2": "UInt16",
    "u4": "UInt32",
    "u8": "UInt64",
    "i8": "Int64",
}
PLAIN: Mapping[str, str] = {**MODERN, "moment": "Int64", "address": "FixedString(16)", "addresses": "Array(FixedString(16))"}
MODERN_SINCE = (20, 1)
DEDUPLICATION_SINCE = (22, 2)
DEDUPLICATED_BLOCKS = 10_000
DAY_NS = 86_400_000_000_000


class TableColumn(NamedTuple):
    name: str
    kind: str
    description: str


@dataclass(frozen=True, slots=True)
class Table:
    """order: the sorting key; what is asked for together lies together."""

    name: str
    columns: tuple[TableColumn, ...]
    order: tuple[str, ...]


def _table(name: str, order: tuple[str, ...], *columns: tuple[str, str, str]) -> Table:
    return Table(name, tuple(TableColumn(*column) for column in columns), order)


def _end(side: str, whose: str) -> tuple[tuple[str, str, str], ...]:
    return (
        (f"{side}_workload", "word", f"Workload of {whose} end"),
        (f"{side}_namespace", "word", "Its namespace"),
        (f"{side}_kind", "word", "pod, container, unit, process, service, node, name, network, unknown, ..."),
        (f"{side}_pod", "word", "Name of its pod"),
        (f"{side}_container", "word", "Name of its container"),
        (f"{side}_pod_uid", "word", "UID of its pod"),
        (f"{side}_container_id", "word", "Id of its container"),
        (f"{side}_address", "address", "Its address, IPv4 as ::ffff:a.b.c.d; zeros: not known"),
        (f"{side}_port", "u2", "Its port"),
    )


_PLACE = (
    ("node", "word", "The node whose agent saw it"),
    ("batch", "u8", "The insert that brought the row, a random number"),
)
_PROCESS = (
    ("process", "word", "Name of the process"),
    ("pid", "u4", "Its process id"),
    ("network_namespace", "u4", "Inode number of its network namespace"),
)

FLOWS = _table(
    "flows",
    ("local_namespace", "local_workload", "peer_workload", "time"),
    ("time", "moment", "When the counters were read, or the flow ended"),
    *_PLACE,
    ("flow", "u8", "The flow's number, unique for a node; a long one has several rows"),
    ("protocol", "word", "tcp or udp"),
    ("state", "word", "open, connecting, closed, failed, listening or listen_ended"),
    ("role", "word", "client, server, listener or unknown"),
    ("outcome", "word", "How it ended; none: still open"),
    ("error", "word", "The socket's error at the end"),
    ("tcp_state", "word", "State of the TCP state machine"),
    ("started_at", "moment", "When it began; 0: before the agent"),
    ("duration_seconds", "seconds", "From its begin to `time`"),
    ("connect_seconds", "seconds", "From SYN to established, or to the failure"),
    *_end("local", "this node's"),
    *_PROCESS,
    ("owner_evidence", "word", "How the process was found"),
    *_end("peer", "the other"),
    ("bytes_sent", "u8", "Increase since the flow's row before; sums are right over any time"),
    ("bytes_received", "u8", "Increase"),
    ("packets_sent", "u8", "Increase"),
    ("packets_received", "u8", "Increase"),
    ("retransmits", "u4", "Increase"),
    ("rtt_seconds", "seconds", "Smoothed round-trip time; 0: not known"),
    ("minimum_rtt_seconds", "seconds", "Smallest round-trip time; 0: not known"),
)
REQUESTS = _table(
    "requests",
    ("local_namespace", "local_workload", "protocol", "time"),
    ("time", "moment", "First byte of the request"),
    *_PLACE,
    ("protocol", "word", "http, grpc, postgresql, ..."),
    ("role", "word", "server: this end was asked; client: it asked"),
    ("operation", "word", "Method, command or kind of statement"),
    ("route", "word", "Template of the path, table, method"),
    ("path", "text", "The path itself, never its query; HTTP only"),
    ("status", "word", "The protocol's own status"),
    ("outcome", "word", "ok, error, unanswered or unknown"),
    ("error", "word", "Kind of error"),
    ("duration_seconds", "seconds", "To the last byte of the answer; 0: no answer"),
    ("first_byte_seconds", "seconds", "To the first byte of the answer"),
    ("request_bytes", "u8", "On the wire"),
    ("response_bytes", "u8", "On the wire"),
    ("request_body_bytes", "i8", "-1: not known"),
    ("response_body_bytes", "i8", "-1: not known"),
    *_end("local", "this node's"),
    *_PROCESS,
    ("thread", "u4", "Id of its thread"),
    *_end("peer", "the other"),
    ("server_port", "u2", "Port of the end that serves"),
    ("transport", "word", "tcp or unix"),
    ("flow", "u8", "The kernel half's number of the connection"),
    ("sampled", "u1", "1: a span was made of it"),
)
LOOKUPS = _table(
    "lookups",
    ("local_namespace", "local_workload", "question", "time"),
    ("time", "moment", "When it was asked"),
    *_PLACE,
    ("role", "word", "client: asked; server: was asked"),
    ("question", "word", "The name that was asked for"),
    ("question_type", "word", "a, aaaa, ptr, ..."),
    ("response_code", "word", "noerror, nxdomain, ..., timeout"),
    ("duration_seconds", "seconds", "To the answer; 0: none"),
    ("answers", "addresses", "Addresses in the answer"),
    ("answer_count", "u2", "Records of the answer"),
    ("query_count", "u2", "How often it was asked until there was an answer"),
    ("transport", "word", "udp or tcp"),
    ("truncated", "u1", "1: the answer was cut short"),
    *_end("local", "this node's"),
    *_PROCESS,
    *_end("peer", "the other"),
)
TABLES: Mapping[str, Table] = {table.name: table for table in (FLOWS, REQUESTS, LOOKUPS)}


def types_of(version: tuple[int, ...]) -> Mapping[str, str]:
    """Types by kind for a server of that version."""
    return MODERN if version >= MODERN_SINCE else PLAIN


def create_statement(table: Table, full_name: str, version: tuple[int, ...], keep_days: int, engine: str = "MergeTree") -> str:
    """CREATE TABLE IF NOT EXISTS. Equal inserts are taken once where the server can tell (from 22.2 on)."""
    types = types_of(version)
    modern = types is MODERN
    columns = ",\n".join(f"    `{one.name}` {types[one.kind]}{_comment(one) if modern else ''}" for one in table.columns)
    clauses = [
        f"ENGINE = {engine}{'()' if not modern and '(' not in engine else ''}",
        f"PARTITION BY {'toDate(time)' if modern else f'intDiv(time, {DAY_NS})'}",
        f"ORDER BY ({', '.join(table.order)})",
    ]
    if modern:
        clauses.append(f"TTL toDateTime(time) + INTERVAL {keep_days} DAY")
        clauses.append("SETTINGS ttl_only_drop_parts = 1" + _deduplication(version, engine))
    return f"CREATE TABLE IF NOT EXISTS {full_name}\n(\n{columns}\n)\n" + "\n".join(clauses)


def _comment(column: TableColumn) -> str:
    escaped = column.description.replace("\\", "\\\\").replace("'", "\\'")
    return f" COMMENT '{escaped}'"


def _deduplication(version: tuple[int, ...], engine: str) -> str:
    """Replicated tables do it anyway."""
    if version < DEDUPLICATION_SINCE or engine.startswith("Replicated"):
        return ""
    return f", non_replicated_deduplication_window = {DEDUPLICATED_BLOCKS}"


def insert_statement(table: Table, full_name: str) -> str:
    names = ", ".join(f"`{column.name}`" for column in table.columns)
    return f"INSERT INTO {full_name} ({names}) FORMAT Native"
