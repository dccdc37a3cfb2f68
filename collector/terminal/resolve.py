"""`honeyguide resolve ADDRESS`: who held an address, now or at a moment, and how that is known."""

from __future__ import annotations

import argparse
import json
import sys

from collector.terminal.options import add_agent_flags, add_flags, open_client, parameters
from collector.terminal.table import Column, make_console, make_table, now, say
from collector.terminal.units import printable, show_moment

FLAGS = (
    ("at", "TIME", "the moment: 5m, 2h, 2026-11-23T08:00:00Z or unix seconds (default now)"),
    ("port", "PORT", "port at that address; services are meant by it"),
    ("protocol", "NAME", "tcp (the default), udp or sctp"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `honeyguide resolve`."""
    parser.add_argument("address", metavar="ADDRESS", help="an IPv4 or IPv6 address")
    add_flags(parser, "question", FLAGS, several=False)
    add_agent_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the answer; HoneyguideError when the agent cannot be asked."""
    with open_client(arguments) as client:
        answer = client.get("/resolve", parameters(arguments, ["address", *(name for name, _, _ in FLAGS)]))
    if arguments.output == "json":
        sys.stdout.write(json.dumps(answer) + "\n")
        return 0
    at, console = now(), make_console()
    name = f"{answer['namespace']}/{answer['name']}" if answer["namespace"] else answer["name"]
    console.print(printable(f"{answer['address']} was {answer['kind']} {name} ({answer['evidence']})"), highlight=False)
    columns = [
        Column("KIND", lambda r: r["kind"]),
        Column("NAME", lambda r: f"{r['namespace']}/{r['name']}" if r["namespace"] else r["name"], flexible=True),
        Column("SINCE", lambda r: show_moment(r["since"], at) if r["since"] else "always"),
        Column("UNTIL", lambda r: show_moment(r["until"], at) if r["until"] else "now"),
        Column("EVIDENCE", lambda r: r["evidence"], flexible=True),
    ]
    if answer["holders"]:
        console.print(make_table(columns, answer["holders"], console.width))
    else:
        say("Nobody told who holds that address.")
    return 0
