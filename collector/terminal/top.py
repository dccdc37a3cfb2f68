"""`honeyguide top`: what services are asked most right now, refreshed until Ctrl-C."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from collector.quantities import read_seconds
from collector.terminal.client import AgentClient, Parameters
from collector.terminal.names import ARROWS
from collector.terminal.options import add_agent_flags, add_flags, add_limit, names_of, open_client, parameters
from collector.terminal.requests import ONE_FLAGS, REQUEST_FLAGS, key_text, sum_columns
from collector.terminal.table import (
    DIM,
    WIDE,
    Column,
    make_console,
    make_table,
    now,
    print_rows,
    say_how_many,
    say_what_is_missing,
)
from collector.terminal.units import show_duration

GROUPED_BY = "workload,role,protocol,operation,route"
LINES_AROUND = 4  # what stands above and below the rows
SHORTEST, LONGEST = 0.5, 3600.0
COLUMNS = [
    Column("WORKLOAD", lambda r: key_text("workload", r), flexible=True),
    Column("", lambda r: ARROWS.get(r["role"], "--")),
    Column("PROTOCOL", lambda r: r["protocol"], from_width=WIDE),
    Column("WHAT", lambda r: r["operation"] or "?"),
    Column("ROUTE", lambda r: r["route"], flexible=True),
    *sum_columns(),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide top`."""
    parser.add_argument("--once", action="store_true", help="print one table and end, as without a terminal")
    parser.add_argument(
        "--interval", metavar="TIME", type=_interval, default=2.0, help="how often to refresh (500 ms to 1 h; default 2 s)"
    )
    parser.add_argument("--since", metavar="TIME", default="1m", help="rates and times of this last while (default 1m)")
    parser.add_argument(
        "--sort", metavar="BY", default="rate", help="rate (the default), errors, error_share, p50, p99, max or bytes"
    )
    add_limit(parser, 30)
    add_flags(parser, "filters (may be repeated)", REQUEST_FLAGS, several=True)
    add_flags(parser, "filters", ONE_FLAGS, several=False)
    add_agent_flags(parser, ("table", "json", "csv"))


def run(arguments: argparse.Namespace) -> int:
    """Shows the table; HoneyguideError when the agent cannot be asked."""
    asked = {
        **parameters(arguments, [*names_of(REQUEST_FLAGS, ONE_FLAGS), "since", "sort", "limit"]),
        "group_by": GROUPED_BY,
    }
    console = make_console()
    with open_client(arguments) as client:
        if arguments.output != "table":
            return print_rows(client, "/requests", asked, arguments.output)
        if arguments.once or not console.is_terminal:
            return print_once(client, asked, console)
        try:
            refresh(client, asked, console, lambda: time.sleep(arguments.interval))
        except KeyboardInterrupt:
            return 0
    return 0


def print_once(client: AgentClient, asked: Parameters, console: Console) -> int:
    """One table; remarks beside it."""
    answer = client.get("/requests", asked)
    if answer["groups"]:
        console.print(make_table(COLUMNS, answer["groups"], console.width))
    say_how_many(len(answer["groups"]), answer["total"], "groups")
    say_what_is_missing(answer["complete"])
    return 0


def refresh(client: AgentClient, asked: Parameters, console: Console, wait: Callable[[], None]) -> None:
    """Shows a new table after each `wait`, until that raises."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(client.get("/requests", asked), console, now()), refresh=True)
            wait()


def picture(answer: dict[str, Any], console: Console, at: datetime) -> RenderableType:
    """What fits on the screen, the first rows of all."""
    shown = answer["groups"][: max(console.height - LINES_AROUND, 1)]
    head = f"{at:%H:%M:%S}  last {show_duration(answer['range_seconds'])}  {len(shown)} of {answer['total']} groups  Ctrl-C ends"
    notice = f"lost: {answer['complete']['lost']}" if answer["complete"]["lost"] else ""
    body = make_table(COLUMNS, shown, console.width) if shown else Text("Nobody asked for anything.", DIM)
    return Group(Text(head, DIM), body, Text(notice, DIM))


def _interval(text: str) -> float:
    try:
        seconds = read_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not SHORTEST <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not between 500 ms and 1 h")
    return seconds
