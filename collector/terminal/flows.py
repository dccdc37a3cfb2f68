"""`honeyguide flows`: connections, open and ended, or as they come and go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from rich.text import Text

from collector.terminal.follow import LiveView, follow
from collector.terminal.names import ARROWS, endpoint_text, server_port_text, state_style, state_text, workload_text
from collector.terminal.options import (
    TIME_FLAGS,
    WORKLOAD_FLAGS,
    add_agent_flags,
    add_flags,
    add_limit,
    names_of,
)
from collector.terminal.rows_view import RowsView, print_view
from collector.terminal.table import BAD, WIDE, WIDER, Column, Record
from collector.terminal.units import printable, show_bytes, show_count, show_duration, show_moment

FLOW_FLAGS = (
    *WORKLOAD_FLAGS,
    ("process", "NAME", "process at this node's end, by pid or name"),
    ("address", "ADDRESS", "address or CIDR"),
    ("port", "PORT", "port"),
    ("peer_workload", "NAME", "workload at the other end, whatever --side says"),
    ("peer_address", "ADDRESS", "address or CIDR at the other end"),
    ("peer_port", "PORT", "port at the other end"),
    ("protocol", "NAME", "tcp or udp"),
    ("role", "ROLE", "client, server, listener or unknown"),
    ("state", "STATE", "open, connecting, closed, failed, listening or listen_ended"),
    ("outcome", "OUTCOME", "how it ended: closed, refused, reset_by_peer, timed_out, ..."),
)
ONE_FLAGS = (("side", "SIDE", "which end the filters are about: local, peer or either (the default)"),)
ORDER_FLAGS = (
    ("sort", "BY", "time, ended, duration, connect, bytes, bytes_sent, bytes_received, retransmits or rtt"),
    ("order", "ORDER", "desc (the default) or asc"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide flows`."""
    parser.add_argument("-f", "--follow", action="store_true", help="print flows as they begin and end, until Ctrl-C")
    add_limit(parser, 50)
    parser.add_argument(
        "--group-by", metavar="KEY", action="append", help="sum up by workload, peer, namespace, pod, process, port, ..."
    )
    add_flags(parser, "order", ORDER_FLAGS, several=False)
    add_flags(parser, "filters (may be repeated)", FLOW_FLAGS, several=True)
    add_flags(parser, "filters", (*ONE_FLAGS, *TIME_FLAGS), several=False)
    add_agent_flags(parser, ("table", "json", "csv"))


def run(arguments: argparse.Namespace) -> int:
    """Prints flows; HoneyguideError when the agent cannot be asked."""
    if arguments.follow:
        return follow(arguments, LiveView("/flows/stream", "flow", "flows", names_of(FLOW_FLAGS, ONE_FLAGS), follow_line))
    asks = [*names_of(FLOW_FLAGS, ONE_FLAGS, ORDER_FLAGS, TIME_FLAGS), "limit", "group_by"]
    keys = [key for value in arguments.group_by or () for key in value.split(",")]
    if keys:
        return print_view(arguments, RowsView("/flows", "groups", asks, lambda at: group_columns(keys)))
    return print_view(arguments, RowsView("/flows", "flows", asks, flow_columns))


def flow_columns(at: datetime) -> list[Column]:
    """Columns of a table of flows; at: now, with the reader's zone."""
    return [
        Column("TIME", lambda r: show_moment(r["started_at"], at) or "earlier"),
        Column("WORKLOAD", lambda r: workload_text(r, "local"), flexible=True),
        Column("PROCESS", lambda r: f"{r['process'] or '?'} {r['pid'] or ''}".strip(), from_width=WIDE, flexible=True),
        Column("LOCAL", lambda r: endpoint_text(r, "local"), from_width=WIDER, flexible=True),
        Column("", lambda r: ARROWS.get(r["role"], "--")),
        Column("PEER", lambda r: workload_text(r, "peer"), flexible=True),
        Column("REMOTE", lambda r: endpoint_text(r, "peer"), from_width=WIDER, flexible=True),
        Column("PORT", server_port_text),
        Column("STATE", state_text, state_style),
        Column("SENT", lambda r: show_bytes(r["bytes_sent"]), right=True),
        Column("RECV", lambda r: show_bytes(r["bytes_received"]), right=True),
        Column("TOOK", lambda r: show_duration(r["duration_seconds"]), right=True, from_width=WIDE),
        Column("CONNECT", lambda r: show_duration(r["connect_seconds"]), right=True, from_width=WIDER),
        Column("RTT", lambda r: show_duration(r["rtt_seconds"]), right=True, from_width=WIDE),
        Column("AGAIN", lambda r: str(r["retransmits"] or ""), right=True, from_width=WIDER),
    ]


def _key_text(key: str, record: Record) -> str:
    return record[key] or "-"


def group_columns(keys: Sequence[str]) -> list[Column]:
    """Columns of a table of groups."""
    by_key = [Column(key.upper(), partial(_key_text, key), flexible=True) for key in keys]
    return [
        *by_key,
        Column("FLOWS", lambda r: show_count(r["flows"]), right=True),
        Column("OPEN", lambda r: show_count(r["open"]), right=True),
        Column("FAILED", lambda r: show_count(r["failures"]), lambda r: BAD if r["failures"] else "", right=True),
        Column("SENT", lambda r: show_bytes(r["bytes_sent"]), right=True),
        Column("RECV", lambda r: show_bytes(r["bytes_received"]), right=True),
        Column("AGAIN", lambda r: show_count(r["retransmits"]), right=True, from_width=WIDE),
        Column("RTT", lambda r: show_duration(r["rtt_seconds"]), right=True),
        Column("CONNECT", lambda r: show_duration(r["connect_seconds"]), right=True, from_width=WIDE),
    ]


def follow_line(record: Record, at: datetime) -> Text:
    """One flow on one line; the columns stand below each other without waiting for the other rows."""
    moment = show_moment(record["ended_at"] or record["started_at"] or record["observed_at"], at)
    ends = f"{workload_text(record, 'local'):<20.20} {ARROWS.get(record['role'], '--')} {workload_text(record, 'peer'):<20.20}"
    line = Text(printable(f"{moment} {ends} {server_port_text(record):<9} "))
    line.append(printable(f"{state_text(record):<13}"), state_style(record))
    if record["ended_at"]:
        moved = f" {show_bytes(record['bytes_sent'])} out, {show_bytes(record['bytes_received'])} in"
        line.append(f"{moved}, {show_duration(record['duration_seconds'])}" if record["duration_seconds"] else moved)
    return line
