"""`honeyguide pods`: pods that the cluster or a container runtime told of."""

from __future__ import annotations

import argparse
from datetime import datetime

from collector.terminal.options import add_agent_flags, add_flags, add_limit, names_of
from collector.terminal.rows_view import RowsView, print_view
from collector.terminal.table import DIM, WIDE, WIDER, Column, Record
from collector.terminal.units import show_moment

POD_FLAGS = (
    ("namespace", "NAME", "namespace of the pod; * and ? stand for any text and any letter"),
    ("pod", "NAME", "pod by uid, name or namespace/name"),
    ("workload", "NAME", "service that the pod belongs to"),
    ("node", "NAME", "node that the pod is on"),
    ("label", "KEY=VALUE", "label, of those that the setting kubernetes_labels keeps"),
    ("address", "ADDRESS", "an address that the pod has or had"),
)


def owner_text(record: Record) -> str:
    return f"{record['owner_kind']}/{record['owner']}" if record["owner"] else ""


def addresses_text(record: Record) -> str:
    """The pod's own addresses; a host-network pod has none."""
    return "host network" if record["host_network"] else " ".join(record["addresses"])


def columns(at: datetime) -> list[Column]:
    """Columns of a table of pods; at: now, with the reader's zone."""

    def state(record: Record) -> str:
        return "gone" if record["gone"] else "there"

    return [
        Column("NAMESPACE", lambda r: r["namespace"], flexible=True),
        Column("POD", lambda r: r["name"], flexible=True),
        Column("WORKLOAD", lambda r: r["workload"], flexible=True),
        Column("STATE", state, lambda r: DIM if r["gone"] else ""),
        Column("ADDRESS", addresses_text),
        Column("NODE", lambda r: r["node"] or "", from_width=WIDE, flexible=True),
        Column("CONTAINERS", lambda r: " ".join(r["containers"]), from_width=WIDE, flexible=True),
        Column("OWNER", owner_text, from_width=WIDER, flexible=True),
        Column("STARTED", lambda r: show_moment(r["started_at"], at), from_width=WIDE),
        Column("TOLD BY", lambda r: r["source"], from_width=WIDER),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide pods`."""
    add_limit(parser, 200)
    add_flags(parser, "filters (may be repeated)", POD_FLAGS, several=True)
    add_agent_flags(parser, ("table", "json", "csv"))


def run(arguments: argparse.Namespace) -> int:
    """Prints pods; HoneyguideError when the agent cannot be asked."""
    return print_view(arguments, RowsView("/pods", "pods", ["limit", *names_of(POD_FLAGS)], columns))
