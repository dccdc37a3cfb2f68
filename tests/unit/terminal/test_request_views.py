"""`honeyguide requests` and `honeyguide top` on a real API."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from api.running_agent import NOW_SECOND, RecordedAgent
from rich.console import Console
from store.flow_batches import snapshot, tcp
from store.request_batches import CLIENT, MILLISECOND, OFFSET_NS, RequestBatches, request

from collector.api.server import ApiServer
from collector.store.requests import RequestStore
from collector.terminal.client import AgentClient
from collector.terminal.top import GROUPED_BY, refresh
from terminal.conftest import Honeyguide, ended_after_a_line


@pytest.fixture(scope="module")
def agent() -> RecordedAgent:
    """40 requests to nginx, every eighth failing, a slow statement, one without an answer and one with a strange path."""
    agent = RecordedAgent()
    first = NOW_SECOND - 50
    served = [
        request(
            first + n,
            resource=f"/users/{n}",
            **({"status": "503", "error_type": "503", "outcome": "error"} if n % 8 == 0 else {}),
        )
        for n in range(40)
    ]
    others = [
        request(first, role=CLIENT, protocol="postgresql", operation="SELECT", resource="orders", status="", local=2, peer=6,
                duration=1500 * MILLISECOND, server_port=5432),
        request(first, local=4, peer=0, duration=0, outcome="unanswered", status=""),
        request(first, local=3, operation="DELETE", resource="/\x1b[31mred/1"),
    ]  # fmt: skip
    agent.requests.add(RequestBatches().batch(*served, *others), OFFSET_NS)
    return agent


@pytest.fixture(params=[80, 120, 200])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Several widths to print for."""
    monkeypatch.setattr("collector.terminal.table.WIDTH_WITHOUT_TERMINAL", request.param)
    return int(request.param)


@pytest.mark.parametrize("words", [("requests",), ("requests", "--group-by", "workload,peer,route"), ("top", "--once"), ("top",)])
def test_every_table_fits_the_terminal(honeyguide: Honeyguide, width: int, words: tuple[str, ...]) -> None:
    printed = honeyguide(*words)
    assert printed.status == 0
    lines = printed.out.splitlines()
    assert len(lines) > 2
    assert max(len(line) for line in lines) <= width


def test_a_row_tells_who_asked_whom_for_what_and_how_it_went(honeyguide: Honeyguide) -> None:
    (line,) = honeyguide("requests", "--protocol", "postgresql").out.splitlines()[1:]
    for text in ("shop/cart-7d9f", "->", "api.example.org", "SELECT", "orders", "ok", "1.5 s"):
        assert text in line
    (line,) = honeyguide("requests", "--outcome", "unanswered").out.splitlines()[1:]
    assert "unanswered" in line and "10.0.0.1" in line


def test_groups_show_rates_errors_and_percentiles(honeyguide: Honeyguide) -> None:
    head, line = honeyguide(
        "requests", "--group-by", "workload,route", "--workload", "nginx.service", "--since", "50s"
    ).out.splitlines()
    assert head.split()[:4] == ["WORKLOAD", "ROUTE", "REQUESTS", "RATE"]
    assert line.split()[:4] == ["nginx.service", "/users/:id", "40", "0.8"]
    assert "12 %" in line and "1.0 ms" in line


def test_filters_and_order_reach_the_agent(honeyguide: Honeyguide) -> None:
    words = (
        "--status",
        "5xx",
        "--min-duration",
        "1ms",
        "--side",
        "local",
        "--workload",
        "nginx*",
        "--sort",
        "time",
        "--order",
        "asc",
    )
    records = [json.loads(line) for line in honeyguide("requests", "-o", "json", *words).out.splitlines()]
    assert [record["path"] for record in records] == [f"/users/{n}" for n in range(0, 40, 8)]


@pytest.mark.parametrize("words", [("requests",), ("requests", "--group-by", "route"), ("top",)])
def test_json_and_csv_hold_all_rows(honeyguide: Honeyguide, words: tuple[str, ...]) -> None:
    records = [json.loads(line) for line in honeyguide(*words, "-o", "json").out.splitlines()]
    rows = list(csv.DictReader(io.StringIO(honeyguide(*words, "-o", "csv").out, newline="")))
    assert len(records) == len(rows) > 1


def test_paths_cannot_steer_the_terminal(honeyguide: Honeyguide) -> None:
    for words in (("requests",), ("top", "--once"), ("requests", "--group-by", "route")):
        out = honeyguide(*words).out
        assert "\x1b[31m" not in out
        assert "\\x1b[31mred" in out


def test_the_map_shows_how_many_requests_went_over_an_edge(honeyguide: Honeyguide, agent: RecordedAgent) -> None:
    agent.flows.add(snapshot(tcp(NOW_SECOND - 50, local=5, peer=1)), OFFSET_NS, "tcp")
    head, line = (text.split() for text in honeyguide("map").out.splitlines())
    assert head[:7] == ["CLIENT", "SERVER", "PORT", "CONNS", "REQUESTS", "ERRORS", "P99"]
    assert line[:9] == ["curl", "->", "nginx.service", "tcp/80", "1", "40", "5", "1.0", "ms"]


def test_top_puts_first_what_was_asked_for(honeyguide: Honeyguide) -> None:
    def first(*words: str) -> str:
        return honeyguide("top", "--once", *words).out.splitlines()[1].split()[0]

    assert first() == "nginx.service"
    assert first("--sort", "p99") == "shop/cart-7d9f"
    assert first("--role", "client") == "shop/cart-7d9f"
    assert honeyguide("top", "--once", "--since", "1s").err.startswith("No groups fit.")
    assert "1 of 4 groups" in honeyguide("top", "--once", "--limit", "1").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("requests", "--min-duration", "long"), "--min-duration: 'long' is no length of time."),
        (("requests", "--follow", "--group-by", "route"), "--group-by and --follow do not go together."),
        (("requests", "--role", "listener"), "--role: There is no role called 'listener'."),
        (("top", "--sort", "colour"), "--sort: There is no sort called 'colour'."),
    ],
)
def test_what_goes_wrong_is_explained(honeyguide: Honeyguide, words: tuple[str, ...], message: str) -> None:
    printed = honeyguide(*words)
    assert printed.status == 1
    assert message in printed.err


def test_an_interval_out_of_range_is_wrong_usage(honeyguide: Honeyguide) -> None:
    for text in ("0.1s", "2h", "soon"):
        with pytest.raises(SystemExit) as ended:
            honeyguide("top", "--interval", text)
        assert ended.value.code == 2


def test_top_shows_what_came_meanwhile() -> None:
    agent = RecordedAgent(requests=RequestStore())
    batches, waits = RequestBatches(), iter(("/first", "/second"))
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()

    def wait() -> None:
        route = next(waits)  # the third time the reader has enough
        with agent.lock:
            agent.requests.add(batches.batch(*(request(NOW_SECOND - 5, resource=route) for _ in range(9))), OFFSET_NS)

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=6)
    try:
        with AgentClient(server.url) as client, pytest.raises(StopIteration):
            refresh(client, {"group_by": GROUPED_BY, "since": "1m"}, console, wait)
    finally:
        server.stop()
    pictures = screen.getvalue().split("Ctrl-C ends")
    assert "Nobody asked for anything." in pictures[1]
    assert "/first" in pictures[2] and "/second" not in pictures[2]
    assert "2 of 2 groups" in pictures[2] and "/second" in pictures[3]


def test_follow_prints_requests_as_they_come_and_ends_with_the_agent(honeyguide: Honeyguide) -> None:
    agent = RecordedAgent(requests=RequestStore())
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()

    rows: list[dict[str, Any]] = [request(1, status="500", outcome="error", error_type="500"), request(2)]

    def add() -> None:
        with agent.lock:
            agent.requests.add(RequestBatches().batch(*rows), OFFSET_NS)

    with ended_after_a_line(server, agent.requests.followers, add):
        printed = honeyguide("requests", "--follow", "--url", server.url, "--status", "5xx")
    assert printed.status == 0
    (line,) = printed.out.splitlines()
    assert "nginx.service" in line and "<- curl" in line and "500" in line and "1.0 ms GET    /users/17" in line
    assert "The agent ended." in printed.err
