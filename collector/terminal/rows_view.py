"""What every view of rows does: ask, print in the form wanted, say what is not shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from collector.terminal.options import open_client, parameters
from collector.terminal.table import Column, make_console, make_table, now, print_rows, say_how_many, say_what_is_missing


@dataclass(frozen=True, slots=True)
class RowsView:
    """path: below /api/v1; name: of the rows in the answer; asks: query parameters, called as their flags; columns: by now."""

    path: str
    name: str
    asks: Sequence[str]
    columns: Callable[[datetime], list[Column]]


def print_view(arguments: argparse.Namespace, view: RowsView) -> int:
    """Prints the rows that fit `arguments`; HoneyguideError when the agent cannot be asked."""
    asked = parameters(arguments, view.asks)
    with open_client(arguments) as client:
        if arguments.output != "table":
            return print_rows(client, view.path, asked, arguments.output)
        answer = client.get(view.path, asked)
    console, records = make_console(), answer[view.name]
    if records:
        console.print(make_table(view.columns(now()), records, console.width))
    say_how_many(len(records), answer["total"], view.name)
    say_what_is_missing(answer.get("complete"))
    return 0
