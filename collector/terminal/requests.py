"""`honeyguide requests`: what services are asked and how they answer, as rows, sums, or as it happens."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from rich.text import Text

from collector.terminal.follow import LiveView, follow
from collector.terminal.names import ARROWS, workload_text
from collector.terminal.options import TIME_FLAGS, WORKLOAD_FLAGS, add_agent_flags, add_flags, add_limit, names_of
from collector.terminal.rows_view import RowsView, print_view
from collector.terminal.table import BAD, DIM, WIDE, WIDER, Column, Record
from collector.terminal.units import printable, show_bytes, show_count, show_duration, show_moment, show_rate, show_share

REQUEST_FLAGS = (
    *WORKLOAD_FLAGS,
    ("process", "NAME", "process at this node's end, by pid or name"),
    ("peer_workload", "NAME", "workload at the other end, whatever --side says"),
    ("port", "PORT", "port of the end that serves"),
    ("protocol", "NAME", "http, grpc, postgresql, mysql, redis, ..."),
    ("role", "ROLE", "server: this end was asked; client: it asked"),
    ("operation", "NAME", "method, command or kind of statement; * and ? as above"),
    ("route", "ROUTE", "template of the path, table or method; * and ? as above"),
    ("status", "STATUS", "status, or a class such as 5xx"),
    ("outcome", "OUTCOME", "ok, error, unanswered or unknown"),
    ("error", "TYPE", "kind of error; * for any"),
)
ONE_FLAGS = (
    ("side", "SIDE", "which end the filters are about: local, peer or either (the default)"),
    ("min_duration", "TIME", "only what took so long or longer: 100ms, 1.5s"),
)
ORDER_FLAGS = (
    ("sort", "BY", "time, duration, bytes, ...; for groups requests, errors, p50, p99, ..."),
    ("order", "ORDER", "desc (the default) or asc"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide requests`."""
    parser.add_argument("-f", "--follow", action="store_true", help="print requests as they are answered, until Ctrl-C")
    add_limit(parser, 50)
    parser.add_argument(
        "--group-by",
        metavar="KEY",
        action="append",
        help="sum up by route, status, operation, workload, peer, protocol, role, ...",
    )
    add_flags(parser, "order", ORDER_FLAGS, several=False)
    add_flags(parser, "filters (may be repeated)", REQUEST_FLAGS, several=True)
    add_flags(parser, "filters", (*ONE_FLAGS, *TIME_FLAGS), several=False)
    add_agent_flags(parser, ("table", "json", "csv"))


def run(arguments: argparse.Namespace) -> int:
    """Prints requests; HoneyguideError when the agent cannot be asked."""
    if arguments.follow:
        asks = names_of(REQUEST_FLAGS, ONE_FLAGS)
        return follow(arguments, LiveView("/requests/stream", "request", "requests", asks, follow_line))
    asks = [*names_of(REQUEST_FLAGS, ONE_FLAGS, ORDER_FLAGS, TIME_FLAGS), "limit", "group_by"]
    keys = [key for value in arguments.group_by or () for key in value.split(",")]
    if keys:
        return print_view(arguments, RowsView("/requests", "groups", asks, lambda at: group_columns(keys)))
    return print_view(arguments, RowsView("/requests", "requests", asks, request_columns))


def has_failed(record: Record) -> bool:
    return record["error"] is not None or record["outcome"] in ("error", "unanswered")


def status_text(record: Record) -> str:
    """The status, or the outcome where there is none or it says more."""
    if record["outcome"] in ("unanswered", "unknown"):
        return str(record["outcome"])
    return str(record["status"] or record["outcome"])


def status_style(record: Record) -> str:
    return BAD if has_failed(record) else DIM


def request_columns(at: datetime) -> list[Column]:
    """Columns of a table of requests; at: now, with the reader's zone."""
    return [
        Column("TIME", lambda r: show_moment(r["time"], at)),
        Column("WORKLOAD", lambda r: workload_text(r, "local"), flexible=True),
        Column("PROCESS", lambda r: f"{r['process'] or '?'} {r['pid'] or ''}".strip(), from_width=WIDER, flexible=True),
        Column("", lambda r: ARROWS.get(r["role"], "--")),
        Column("PEER", lambda r: workload_text(r, "peer"), flexible=True),
        Column("PROTOCOL", lambda r: r["protocol"], from_width=WIDE),
        Column("WHAT", lambda r: r["operation"] or "?"),
        Column("ROUTE", lambda r: r["route"] or "", flexible=True),
        Column("PATH", lambda r: r["path"] or "", from_width=WIDER, flexible=True),
        Column("STATUS", status_text, status_style),
        Column("TOOK", lambda r: show_duration(r["duration_seconds"]), right=True),
        Column("FIRST", lambda r: show_duration(r["first_byte_seconds"]), right=True, from_width=WIDER),
        Column("ASKED", lambda r: show_bytes(r["request_bytes"]), right=True, from_width=WIDE),
        Column("ANSWERED", lambda r: show_bytes(r["response_bytes"]), right=True, from_width=WIDE),
    ]


def key_text(key: str, record: Record) -> str:
    return record[key] or "-"


def group_columns(keys: Sequence[str]) -> list[Column]:
    """Columns of a table of groups."""
    return [*(Column(key.upper(), partial(key_text, key), flexible=True) for key in keys), *sum_columns()]


def sum_columns() -> list[Column]:
    """How many, how well, how fast."""
    return [
        Column("REQUESTS", lambda r: show_count(r["requests"]), right=True, from_width=WIDE),
        Column("RATE", lambda r: show_rate(r["rate"]), right=True),
        Column("ERRORS", lambda r: show_share(r["error_share"]), lambda r: BAD if r["errors"] else DIM, right=True),
        Column("P50", lambda r: show_duration(r["p50_seconds"]), right=True),
        Column("P90", lambda r: show_duration(r["p90_seconds"]), right=True, from_width=WIDER),
        Column("P95", lambda r: show_duration(r["p95_seconds"]), right=True, from_width=WIDER),
        Column("P99", lambda r: show_duration(r["p99_seconds"]), right=True),
        Column("MAX", lambda r: show_duration(r["max_seconds"]), right=True, from_width=WIDE),
        Column("ASKED", lambda r: show_bytes(r["request_bytes"]), right=True, from_width=WIDER),
        Column("ANSWERED", lambda r: show_bytes(r["response_bytes"]), right=True, from_width=WIDER),
    ]


def follow_line(record: Record, at: datetime) -> Text:
    """One request on one line; the columns stand below each other without waiting for the other rows."""
    ends = f"{workload_text(record, 'local'):<20.20} {ARROWS.get(record['role'], '--')} {workload_text(record, 'peer'):<20.20}"
    line = Text(printable(f"{show_moment(record['time'], at)} {ends} "))
    line.append(printable(f"{status_text(record):<10} "), status_style(record))
    line.append(f"{show_duration(record['duration_seconds']):>7} ")
    line.append(printable(f"{record['operation'] or '?':<6} {record['path'] or record['route'] or ''}"))
    return line
