"""`honeyguide processes`: processes of this node, running and ended lately."""

from __future__ import annotations

import argparse
from datetime import datetime

from collector.terminal.options import WORKLOAD_FLAGS, add_agent_flags, add_flags, add_limit, names_of
from collector.terminal.rows_view import RowsView, print_view
from collector.terminal.table import BAD, DIM, GOOD, WIDE, Column, Record
from collector.terminal.units import show_duration, show_moment

PROCESS_FLAGS = (
    *WORKLOAD_FLAGS,
    ("process", "NAME", "process by pid, command or executable; * and ? stand for any text and any letter"),
    ("outcome", "OUTCOME", "running, succeeded, failed, killed or oom_killed"),
)
STYLES = {"running": GOOD, "succeeded": DIM, "": DIM}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide processes`."""
    add_limit(parser, 50)
    add_flags(parser, "filters (may be repeated)", PROCESS_FLAGS, several=True)
    add_agent_flags(parser, ("table", "json", "csv"))


def run(arguments: argparse.Namespace) -> int:
    """Prints processes; HoneyguideError when the agent cannot be asked."""
    return print_view(arguments, RowsView("/processes", "processes", ["limit", *names_of(PROCESS_FLAGS)], process_columns))


def process_columns(at: datetime) -> list[Column]:
    """Columns of a table of processes; at: now, with the reader's zone."""
    return [
        Column("PID", lambda r: str(r["pid"]), right=True),
        Column("PARENT", lambda r: str(r["parent"] or ""), right=True, from_width=WIDE),
        Column("STARTED", lambda r: show_moment(r["started_at"], at)),
        Column("COMMAND", lambda r: r["command"], flexible=True),
        Column("WORKLOAD", lambda r: r["workload"], flexible=True),
        Column("USER", lambda r: str(r["user"]), right=True, from_width=WIDE),
        Column("LIVED", lambda r: show_duration(r["lifetime_seconds"]), right=True),
        Column("OUTCOME", outcome_text, lambda r: STYLES.get(r["outcome"], BAD)),
        Column("EXECUTABLE", lambda r: r["executable"], from_width=WIDE, flexible=True),
    ]


def outcome_text(record: Record) -> str:
    """The outcome, with signal or exit status where they say more."""
    if record["signal"]:
        return f"{record['outcome']} {record['signal']}"
    return f"{record['outcome']} {record['exit_status']}" if record["exit_status"] else str(record["outcome"])
