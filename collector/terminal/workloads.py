"""`honeyguide workloads`: everything that traffic of this node can belong to."""

from __future__ import annotations

import argparse

from collector.terminal.options import WORKLOAD_FLAGS, add_agent_flags, add_flags, add_limit, names_of
from collector.terminal.rows_view import RowsView, print_view
from collector.terminal.table import WIDE, Column

COLUMNS = [
    Column("NUMBER", lambda r: str(r["number"]), right=True),
    Column("KIND", lambda r: r["kind"]),
    Column("NAMESPACE", lambda r: r["namespace"], flexible=True),
    Column("NAME", lambda r: r["name"], flexible=True),
    Column("POD", lambda r: r["pod"] or "", flexible=True),
    Column("CONTAINER", lambda r: r["container"] or "", flexible=True),
    Column("ID", lambda r: (r["container_id"] or "")[:12]),
    Column("NODE", lambda r: r["node"] or "", from_width=WIDE),
    Column("POD UID", lambda r: r["pod_uid"] or "", from_width=WIDE),
    Column("CGROUP", lambda r: r["cgroup_path"] or "", from_width=WIDE, flexible=True),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide workloads`."""
    add_limit(parser, 200)
    add_flags(parser, "filters (may be repeated)", WORKLOAD_FLAGS, several=True)
    add_agent_flags(parser, ("table", "json", "csv"))


def run(arguments: argparse.Namespace) -> int:
    """Prints workloads; HoneyguideError when the agent cannot be asked."""
    return print_view(arguments, RowsView("/workloads", "workloads", ["limit", *names_of(WORKLOAD_FLAGS)], lambda at: COLUMNS))
