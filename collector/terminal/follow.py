"""What every live view does: one line for each event, until the agent or the reader has enough."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from collector.errors import HoneyguideError
from collector.terminal.options import open_client, parameters
from collector.terminal.table import NOTICE, Record, make_console, now, say

NOT_LIVE = ("since", "until", "sort", "order", "group_by")


@dataclass(frozen=True, slots=True)
class LiveView:
    """path: of the stream below /api/v1; event: its name; what: the rows, for remarks; asks: query parameters; line: of a row."""

    path: str
    event: str
    what: str
    asks: Sequence[str]
    line: Callable[[Record, datetime], Text]


def follow(arguments: argparse.Namespace, view: LiveView) -> int:
    """Prints rows as they come; HoneyguideError when the agent cannot be asked."""
    refused = [name for name in NOT_LIVE if getattr(arguments, name)]
    if refused or arguments.output == "csv":
        flag = "--output csv" if arguments.output == "csv" else "--" + refused[0].replace("_", "-")
        raise HoneyguideError(f"{flag} and --follow do not go together.", "Leave one of them out.")
    console = make_console()
    with open_client(arguments) as client:
        for name, content in client.events(view.path, parameters(arguments, view.asks)):
            if name == "lost":
                say(f"{content['rows']} {view.what} came faster than they could be shown and are left out.", NOTICE)
            elif name == view.event and arguments.output == "json":
                sys.stdout.write(json.dumps(content) + "\n")
                sys.stdout.flush()
            elif name == view.event:
                console.print(view.line(content, now()), no_wrap=True, overflow="ellipsis", crop=True)
    say("The agent ended.")
    return 0
