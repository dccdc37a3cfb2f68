"""`honeyguide map`: who calls whom."""

from __future__ import annotations

import argparse
from typing import Any

from collector.terminal.flows import FLOW_FLAGS, ONE_FLAGS
from collector.terminal.options import TIME_FLAGS, add_agent_flags, add_flags, add_limit, names_of, open_client, parameters
from collector.terminal.table import BAD, WIDE, WIDER, Column, Record, make_console, make_table, print_records, say_how_many
from collector.terminal.units import show_bytes, show_count, show_duration


def errors_text(record: Record) -> str:
    """How many requests failed; '' when none did."""
    return (
        show_count(sum(one["errors"] for one in record["requests"])) if any(one["errors"] for one in record["requests"]) else ""
    )


def slowest_text(record: Record) -> str:
    """The 99th percentile of the protocol that is slowest; '' without requests."""
    return show_duration(max((one["p99_seconds"] for one in record["requests"] if one["p99_seconds"]), default=None))


COLUMNS = [
    Column("CLIENT", lambda r: r["client_name"], flexible=True),
    Column("", lambda r: "->" if r["directed"] else "--"),
    Column("SERVER", lambda r: r["server_name"], flexible=True),
    Column("PORT", lambda r: f"{r['protocol']}/{r['port']}" if r["port"] else r["protocol"]),
    Column("CONNS", lambda r: show_count(r["connections"]), right=True),
    Column("REQUESTS", lambda r: show_count(sum(one["requests"] for one in r["requests"])), right=True, from_width=WIDE),
    Column("ERRORS", errors_text, lambda r: BAD if errors_text(r) else "", right=True, from_width=WIDE),
    Column("P99", slowest_text, right=True, from_width=WIDE),
    Column("OPEN", lambda r: show_count(r["open"]), right=True, from_width=WIDER),
    Column("FAILED", lambda r: show_count(r["failures"]), lambda r: BAD if r["failures"] else "", right=True),
    Column("TO SERVER", lambda r: show_bytes(r["bytes_to_server"]), right=True),
    Column("BACK", lambda r: show_bytes(r["bytes_to_client"]), right=True),
    Column("AGAIN", lambda r: show_count(r["retransmits"]), right=True, from_width=WIDER),
    Column("RTT", lambda r: show_duration(r["rtt_seconds"]), right=True, from_width=WIDER),
    Column("CONNECT", lambda r: show_duration(r["connect_seconds"]), right=True, from_width=WIDER),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide map`."""
    add_limit(parser, 50)
    parser.add_argument("--by", metavar="WHAT", help="what is one end: workload (the default), pod or namespace")
    add_flags(parser, "filters (may be repeated)", FLOW_FLAGS, several=True)
    add_flags(parser, "filters", (*ONE_FLAGS, *TIME_FLAGS), several=False)
    add_agent_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the edges of the map; HoneyguideError when the agent cannot be asked."""
    asked = parameters(arguments, ["limit", "by", *names_of(FLOW_FLAGS, ONE_FLAGS, TIME_FLAGS)])
    with open_client(arguments) as client:
        answer = client.get("/services/map", asked)
    edges = name_ends(answer)
    if arguments.output == "json":
        return print_records(edges)
    console = make_console()
    if edges:
        console.print(make_table(COLUMNS, edges, console.width))
    say_how_many(len(edges), answer["edges_total"], "edges")
    return 0


def name_ends(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The edges of a map with client_name and server_name, namespace/name each."""
    names = {node["id"]: f"{node['namespace']}/{node['name']}" if node["namespace"] else node["name"] for node in answer["nodes"]}
    return [{**edge, "client_name": names[edge["client"]], "server_name": names[edge["server"]]} for edge in answer["edges"]]
