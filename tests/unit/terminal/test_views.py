"""Every view on a real API: tables that fit, NDJSON and CSV that parse, messages that help."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from api.running_agent import TOKEN, RecordedAgent
from store.flow_batches import OFFSET_NS, ended, events

from collector.api.server import ApiServer
from collector.api.view import HealthState
from collector.store.flows import FlowStore
from terminal.conftest import Honeyguide, ended_after_a_line

VIEWS = ("flows", "lookups", "workloads", "processes", "probes", "map")


@pytest.fixture(params=[80, 120, 200])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Several widths to print for."""
    monkeypatch.setattr("collector.terminal.table.WIDTH_WITHOUT_TERMINAL", request.param)
    return int(request.param)


@pytest.mark.parametrize("view", VIEWS)
def test_every_table_fits_the_terminal(honeyguide: Honeyguide, width: int, view: str) -> None:
    printed = honeyguide(view)
    assert printed.status == 0
    lines = printed.out.splitlines()
    assert len(lines) > 2
    assert max(len(line) for line in lines) <= width


def test_groups_fit_the_terminal_too(honeyguide: Honeyguide, width: int) -> None:
    lines = honeyguide("flows", "--group-by", "workload,peer", "--group-by", "process").out.splitlines()
    assert lines[0].split()[:3] == ["WORKLOAD", "PEER", "PROCESS"]
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("view", VIEWS)
def test_json_is_one_object_a_line(honeyguide: Honeyguide, view: str) -> None:
    records = [json.loads(line) for line in honeyguide(view, "-o", "json").out.splitlines()]
    assert records and all(isinstance(record, dict) for record in records)


@pytest.mark.parametrize("view", ["flows", "lookups", "workloads", "processes"])
def test_csv_has_a_header_and_rows(honeyguide: Honeyguide, view: str) -> None:
    rows = list(csv.DictReader(io.StringIO(honeyguide(view, "-o", "csv", "--limit", "5").out, newline="")))
    assert 1 < len(rows) <= 5


def test_filters_and_order_reach_the_agent(honeyguide: Honeyguide) -> None:
    words = (
        "--workload",
        "nginx.service",
        "--side",
        "local",
        "--peer-workload",
        "curl",
        "--state",
        "open",
        "--state",
        "connecting",
    )
    records = [
        json.loads(line)
        for line in honeyguide("flows", "-o", "json", *words, "--sort", "time", "--order", "asc").out.splitlines()
    ]
    assert [record["flow"] for record in records] == list(range(5000, 5030))
    assert "host7.example.org" in honeyguide("lookups", "--name", "host7.*").out
    assert honeyguide("processes", "--outcome", "killed").out.count("sigkill") == 1


def test_a_refused_connection_stands_out_and_says_so(honeyguide: Honeyguide) -> None:
    out = honeyguide("flows", "--address", "192.0.2.7").out
    assert "refused" in out and "shop/cart-7d9f" in out and "api.example.org" in out


def test_names_cannot_steer_the_terminal(honeyguide: Honeyguide) -> None:
    for words in (("flows", "--workload", "redis", "--port", "6379"), ("flows", "--port", "6379", "-o", "csv")):
        out = honeyguide(*words).out
        assert "\x1b[31m" not in out
        assert "\\x1b[31mred" in out


def test_what_was_left_out_is_said_beside_the_data(honeyguide: Honeyguide) -> None:
    printed = honeyguide("flows", "--limit", "3")
    assert "3 of 1232 flows" in printed.err
    assert "Events lost since the agent started: 1" in printed.err
    assert honeyguide("flows", "--port", "9").err.startswith("No flows fit.")


def test_probes_show_books_causes_and_what_is_lost(honeyguide: Honeyguide, agent: RecordedAgent) -> None:
    out = honeyguide("probes").out
    for text in ("tp_btf/inet_sock_set_state", "tcp/state_changes", "ring_full 1", "udp: no cgroup mount it"):
        assert text in out
    for text in ("tcp: 3 processes are not ours to look at", "tcp: /usr/lib/libssl.so.3, 1 process", ".so, 12 processes"):
        assert text in out
    assert "\x1b[31m" not in out
    agent.state = HealthState.DEGRADED
    try:
        printed = honeyguide("probes")
        assert (printed.status, "something is lost" in printed.err) == (1, True)
    finally:
        agent.state = HealthState.OK


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("flows", "--limit", "0"), "--limit: limit cannot be '0'.\n  -> Allowed: 1 to 10000."),
        (("flows", "--peer-port", "http"), "--peer-port: 'http' is no port."),
        (("flows", "--follow", "--since", "5m"), "--since and --follow do not go together."),
        (("flows", "--follow", "-o", "csv"), "--output csv and --follow do not go together."),
        (("lookups", "--since", "lately"), "--since: 'lately' is no moment"),
        (("map", "--side", "left"), "--side: There is no side called 'left'."),
        (("flows", "--url", "http://127.0.0.1:1"), "No agent answers at http://127.0.0.1:1.\n  -> Start one"),
        (("flows", "--url", "gopher://x"), "is no URL"),
        (("flows", "--url", "http://x:port"), "is no URL"),
        (("flows", "--url", "http://no.such.host.invalid"), "No agent answers"),
    ],
)
def test_what_goes_wrong_is_explained(honeyguide: Honeyguide, words: tuple[str, ...], message: str) -> None:
    printed = honeyguide(*words)
    assert printed.status == 1
    assert message in printed.err


def test_a_token_is_asked_for_and_taken_from_variable_or_file(
    honeyguide: Honeyguide, guarded: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    assert "wants its token" in honeyguide("workloads", "--url", guarded.url).err
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert honeyguide("workloads", "--url", guarded.url, "--token-file", str(file)).status == 0
    monkeypatch.setenv("HONEYGUIDE_TOKEN", TOKEN)
    assert honeyguide("workloads", "--url", guarded.url).status == 0


def test_without_a_url_the_settings_of_this_machine_say_where(
    honeyguide: Honeyguide, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HONEYGUIDE_URL")
    monkeypatch.setenv("HONEYGUIDE_LISTEN", f"127.0.0.1:{server.url.rsplit(':', 1)[1]}")
    assert honeyguide("workloads").status == 0


def test_another_program_at_the_address_is_recognised(honeyguide: Honeyguide, server: ApiServer) -> None:
    # its own landing page stands for any web server: there is no /docs/api/v1/flows
    assert "nothing at" in honeyguide("flows", "--url", f"{server.url}/docs").err


def test_follow_prints_flows_as_they_come_and_ends_with_the_agent(
    honeyguide: Honeyguide, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = RecordedAgent(flows=FlowStore())
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()

    def add() -> None:
        with agent.lock:
            agent.flows.add(events(ended(1, local=2, peer=6), ended(2, local=1, remote_port=1)), OFFSET_NS, "tcp")

    with ended_after_a_line(server, agent.flows.followers, add):
        printed = honeyguide("flows", "--follow", "--url", server.url, "--peer-port", "80")
    assert printed.status == 0
    (line,) = printed.out.splitlines()
    assert "shop/cart-7d9f" in line and "-> api.example.org" in line and "tcp/80" in line and "closed" in line
    assert "The agent ended." in printed.err
