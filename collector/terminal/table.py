"""Tables that fit the terminal: on a narrow one the less important columns stay away, names are shortened, numbers never."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from collector.terminal.client import AgentClient, Parameters
from collector.terminal.units import printable

Record = dict[str, Any]
WIDE = 110
WIDER = 150
BAD, GOOD, DIM, NOTICE = "red", "green", "dim", "yellow"
WIDTH_WITHOUT_TERMINAL = 160
LEAST_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Column:
    """title; text of a record; style of it ('' for plain); right: numbers; from_width: narrower terminals do without.

    flexible: may be shortened; the others get the room they need.
    """

    title: str
    text: Callable[[Record], str]
    style: Callable[[Record], str] = lambda record: ""
    right: bool = False
    from_width: int = 0
    flexible: bool = False


def make_console() -> Console:
    """Standard output; without a terminal wide enough for every column, and without colours."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def make_table(columns: Sequence[Column], records: Iterable[Record], width: int) -> Table:
    """A table for a terminal of `width` letters."""
    shown = [column for column in columns if width >= column.from_width]
    rows = [[Text(printable(column.text(record)), column.style(record)) for column in shown] for record in records]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column, room in zip(shown, share_room(shown, rows, width), strict=True):
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, no_wrap=True, overflow="ellipsis", width=room)
    for row in rows:
        table.add_row(*row)
    return table


def share_room(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Width of each column: what it needs, and where that is too much, the widest flexible ones are cut to one size."""
    needs = [max(len(column.title), *(row[place].cell_len for row in rows), 0) for place, column in enumerate(columns)]
    flexible = [place for place, column in enumerate(columns) if column.flexible]
    surplus = sum(needs) + len(needs) - 1 - width
    while surplus > 0 and any(needs[place] > LEAST_WIDTH for place in flexible):
        widest = max(flexible, key=lambda place: needs[place])
        needs[widest] -= 1
        surplus -= 1
    return needs


def now() -> datetime:
    """The present where the reader is."""
    return datetime.now().astimezone()


def print_rows(client: AgentClient, path: str, asked: Parameters, output: str) -> int:
    """Rows as the agent gives them: NDJSON for json, or CSV."""
    chosen = {"json": "ndjson", "csv": "csv"}[output]
    for text in client.text(path, {**asked, "format": chosen}):
        sys.stdout.write(text)
    return 0


def print_records(records: Iterable[Record]) -> int:
    """One JSON object a line."""
    for record in records:
        sys.stdout.write(json.dumps(record) + "\n")
    return 0


def say(text: str, style: str = DIM) -> None:
    """A remark beside the data: to standard error, so that pipes get data only."""
    Console(stderr=True, highlight=False, markup=False, emoji=False).print(Text(printable(text), style))


def say_how_many(shown: int, total: int, what: str) -> None:
    """How much of all was shown, when that is worth a word."""
    if not total:
        say(f"No {what} fit.")
    elif shown < total:
        say(f"{shown} of {total} {what}; more with --limit.")


def say_what_is_missing(complete: Record | None) -> None:
    """What the answer could not hold because it was lost or forgotten; None: there is nothing to lose."""
    if complete is None:
        return
    if complete["lost"]:
        say(f"Events lost since the agent started: {complete['lost']} (honeyguide probes says where).", NOTICE)
    if complete["overwritten"]:
        say(f"What ended before {complete['since']} is forgotten (rows: {complete['overwritten']}).")
