"""`honeyguide lookups`: who asked for which name, and what came back."""

from __future__ import annotations

import argparse
from datetime import datetime

from collector.terminal.names import workload_text
from collector.terminal.options import TIME_FLAGS, WORKLOAD_FLAGS, add_agent_flags, add_flags, add_limit, names_of
from collector.terminal.rows_view import RowsView, print_view
from collector.terminal.table import BAD, WIDE, Column
from collector.terminal.units import show_duration, show_moment

LOOKUP_FLAGS = (
    ("name", "NAME", "the name that was asked for; * and ? stand for any text and any letter"),
    *WORKLOAD_FLAGS,
    ("process", "NAME", "process that asked, by pid or name"),
    ("response_code", "CODE", "noerror, nxdomain, servfail, refused, timeout, ..."),
    ("question_type", "TYPE", "a, aaaa, ptr, srv, ..."),
    ("role", "ROLE", "client: this node asked; server: this node was asked"),
)
FINE = ("noerror",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide lookups`."""
    add_limit(parser, 50)
    add_flags(parser, "filters (may be repeated)", LOOKUP_FLAGS, several=True)
    add_flags(parser, "filters", TIME_FLAGS, several=False)
    add_agent_flags(parser, ("table", "json", "csv"))


def run(arguments: argparse.Namespace) -> int:
    """Prints lookups; HoneyguideError when the agent cannot be asked."""
    return print_view(arguments, RowsView("/lookups", "lookups", ["limit", *names_of(LOOKUP_FLAGS, TIME_FLAGS)], lookup_columns))


def lookup_columns(at: datetime) -> list[Column]:
    """Columns of a table of lookups; at: now, with the reader's zone."""
    return [
        Column("TIME", lambda r: show_moment(r["time"], at)),
        Column("WORKLOAD", lambda r: workload_text(r, "local"), flexible=True),
        Column("PROCESS", lambda r: f"{r['process'] or '?'} {r['pid'] or ''}".strip(), from_width=WIDE, flexible=True),
        Column("SIDE", lambda r: r["role"], from_width=WIDE),
        Column("TYPE", lambda r: r["question_type"]),
        Column("NAME", lambda r: r["question"], flexible=True),
        Column("RESULT", lambda r: r["response_code"], lambda r: "" if r["response_code"] in FINE else BAD),
        Column("TOOK", lambda r: show_duration(r["duration_seconds"]), right=True),
        Column("ANSWERS", lambda r: " ".join(r["answers"]), flexible=True),
    ]
