"""`honeyguide probes`: what is measured, by which hooks, what was seen and lost, and what it costs."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.text import Text

from collector.terminal.options import add_agent_flags, open_client
from collector.terminal.table import BAD, DIM, GOOD, NOTICE, WIDE, Column, Record, make_console, make_table, print_records, say
from collector.terminal.units import printable, show_count, show_duration

STYLES = {"running": GOOD, "replayed": GOOD, "disabled": DIM, "refused": BAD}
PROBE_COLUMNS = [
    Column("PROBE", lambda r: r["probe"]),
    Column("STATE", lambda r: r["state"], lambda r: STYLES.get(r["state"], "")),
    Column("HOOKS", lambda r: ", ".join(dict.fromkeys(hook["section"] for hook in r["hooks"])), flexible=True),
    Column("RUNS", lambda r: show_count(sum(cost["runs"] for cost in r["costs"])), right=True),
    Column("RUN TIME", lambda r: show_duration(sum(cost["run_time_seconds"] for cost in r["costs"]) or None), right=True),
]
BOOK_COLUMNS = [
    Column("BOOK", lambda r: f"{r['probe']}/{r['account']}"),
    Column("SEEN", lambda r: show_count(r["seen"]), right=True),
    Column("EMITTED", lambda r: show_count(r["emitted"]), right=True),
    Column("FILTERED", lambda r: show_count(r["filtered"]), right=True),
    Column("SAMPLED", lambda r: show_count(r["sampled"]), right=True, from_width=WIDE),
    Column("DECODED", lambda r: show_count(r["decoded"]), right=True, from_width=WIDE),
    Column("LOST", lambda r: show_count(r["lost"]), lambda r: BAD if r["lost"] else "", right=True),
    Column("WHY", lambda r: ", ".join(f"{name} {count}" for name, count in losses(r).items()), flexible=True),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide probes`."""
    add_agent_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints probes and their books; 1 when the agent is degraded. HoneyguideError when it cannot be asked."""
    with open_client(arguments) as client:
        probes = client.get("/probes", {})["probes"]
        if arguments.output == "json":
            return print_records(probes)
        health = client.get("/health", {})
    console = make_console()
    console.print(make_table(PROBE_COLUMNS, probes, console.width))
    print_refusals(console, probes)
    print_notes(console, probes)
    books = [{"probe": probe["probe"], **book} for probe in probes for book in probe["books"]]
    if books:
        console.print()
        console.print(make_table(BOOK_COLUMNS, books, console.width))
    for reason in health["reasons"]:
        say(reason, NOTICE)
    return 1 if health["state"] == "degraded" else 0


def print_refusals(console: Console, probes: list[dict[str, Any]]) -> None:
    """Why a probe does not run, and what to do about it."""
    for probe in probes:
        if probe["cause"]:
            console.print(Text(printable(f"{probe['probe']}: {probe['cause']} {probe['remedy'] or ''}".strip()), NOTICE))


def print_notes(console: Console, probes: list[dict[str, Any]]) -> None:
    """Which libraries are hooked, and what a running probe cannot see."""
    for probe in probes:
        for library in probe.get("libraries", ()):
            used = f"{library['processes']} processes" if library["processes"] != 1 else "1 process"
            console.print(Text(printable(f"{probe['probe']}: {library['path']}, {used}"), DIM))
        for note in probe.get("notes", ()):
            console.print(Text(printable(f"{probe['probe']}: {note}"), NOTICE))


def losses(book: Record) -> dict[str, int]:
    """What was lost, by reason; reasons that did not occur are left out."""
    reasons = {**book["dropped"], "undecodable": book["undecodable"], "missed": book["missed"]}
    return {name: count for name, count in reasons.items() if count}
