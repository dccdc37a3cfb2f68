"""Rows in a real ClickHouse server (Debian's 18.16): as many as there were, once each, whatever happened to it meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_rows import ORIGIN, MadeFeed, ended_flows
from clickhouse_server import PASSWORD, PROGRAM, ClickHouseServer, clickhouse_server
from otlp_receiver import wait_for
from patience import PATIENCE_SECONDS
from started_agent import RunningAgent

from collector.export import clickhouse
from collector.export.clickhouse import ClickHouseExporter
from collector.export.clickhouse_settings import ClickHouseSettings

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(PROGRAM is None, reason="clickhouse-server is not installed"),
]
ROOT = Path(__file__).resolve().parent.parent.parent
REQUESTS = 40
ANSWERING = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
RECORDING = ROOT / "tests/data/node.recording"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
def server(shared: ClickHouseServer) -> ClickHouseServer:
    if shared.process is None:
        shared.start()
    for table in shared.ask("SHOW TABLES FROM default").split():
        shared.ask(f"DROP TABLE default.{table}")
    return shared


@contextmanager
def exporting(server: ClickHouseServer, **settings: Any) -> Iterator[tuple[ClickHouseExporter, MadeFeed]]:
    feed = MadeFeed()
    given = {"user": "agent", "password": PASSWORD, "seconds": 0.1, "timeout_seconds": 2, **settings}
    exporter = ClickHouseExporter(ClickHouseSettings(server.url, **given), ORIGIN, feed)
    exporter.start()
    wait_for(lambda: exporter._delivery._sure)
    try:
        yield exporter, feed
    finally:
        assert exporter.close(5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse, "FETCH_SECONDS", 0.02)
    monkeypatch.setattr(clickhouse, "FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(clickhouse, "LONGEST_PAUSE_SECONDS", 0.5)


def stop(server: ClickHouseServer) -> None:
    server.stop()


def kill(server: ClickHouseServer) -> None:
    server.stop(signal.SIGKILL)


def start(server: ClickHouseServer) -> None:
    server.start()


def send_through_an_outage(
    server: ClickHouseServer, harm: Callable[[ClickHouseServer], None], mend: Callable[[ClickHouseServer], None]
) -> None:
    """10,000 flows before, while the server is gone, and after; each sent another number of bytes."""
    with exporting(server) as (exporter, feed):
        for first in range(1, 30_001, 500):
            feed.put(ended_flows(500, first))
            if first == 10_001:
                wait_for(lambda: exporter.status().inserts)
                harm(server)
            elif first == 20_001:
                wait_for(lambda: exporter.status().retried)
                mend(server)
            time.sleep(0.01)  # batches of a usual size, so that some are under way at any moment
        wait_for(lambda: sum(exporter.status().delivered.values()) == 30_000, 60)
    assert exporter.status().discarded == {}


@pytest.mark.parametrize("harm", [stop, kill], ids=["stopped", "killed"])
def test_every_row_is_there_once_after_an_outage(server: ClickHouseServer, harm: Callable[[ClickHouseServer], None]) -> None:
    send_through_an_outage(server, harm, start)
    found = server.ask("SELECT count(), uniqExact(flow), sum(bytes_sent) FROM honeyguide_flows")
    assert list(map(int, found.split())) == [30_000, 30_000, 30_000 * 30_001 // 2]


def test_after_a_silence_every_row_is_there_and_copies_are_told_by_their_batch(server: ClickHouseServer) -> None:
    """What a silent server had received it stores when it wakes. Before 22.2 nothing tells it that it came again since."""
    send_through_an_outage(server, ClickHouseServer.pause, ClickHouseServer.go_on)
    copies = "SELECT batch, count() / uniqExact(flow) AS copies, uniqExact(flow) AS flows FROM honeyguide_flows GROUP BY batch"
    found = server.ask(f"SELECT sum(flows), countIf(copies != toUInt32(copies)) FROM ({copies})")
    assert list(map(int, found.split())) == [30_000, 0]


def test_a_long_outage_costs_a_bounded_spool_and_the_books_close(server: ClickHouseServer) -> None:
    with exporting(server, spool_bytes=128 << 10) as (exporter, feed):
        feed.put(ended_flows(1000))
        wait_for(lambda: exporter.status().delivered)
        server.stop()
        for first in range(1001, 101_001, 1000):
            feed.put(ended_flows(1000, first))
            time.sleep(0.01)
        wait_for(lambda: exporter.status().discarded.get("spool_full", 0) > 20_000)
        assert exporter.status().spooled_bytes <= 128 << 10
        server.start()
        wait_for(lambda: not exporter.status().spooled_rows, 60)
    status = exporter.status()
    assert set(status.discarded) == {"spool_full"}
    assert status.delivered["flows"] + status.discarded["spool_full"] == 101_000
    assert int(server.ask("SELECT count() FROM honeyguide_flows")) == status.delivered["flows"]


def test_a_wrong_password_is_told_and_cured_without_a_loss(server: ClickHouseServer, caplog: pytest.LogCaptureFixture) -> None:
    feed = MadeFeed()
    exporter = ClickHouseExporter(ClickHouseSettings(server.url, user="agent", password="wrong-one", seconds=0.1), ORIGIN, feed)
    exporter.start()
    try:
        feed.put(ended_flows(10))
        wait_for(lambda: exporter.status().retried.get("unauthorized"))
    finally:
        assert exporter.close(5)
    assert "wrong-one" not in caplog.text + repr(exporter.status())
    assert exporter.status().discarded == {"closing": 10}


def test_an_older_table_is_told_by_name(server: ClickHouseServer, caplog: pytest.LogCaptureFixture) -> None:
    server.ask("CREATE TABLE honeyguide_flows (time Int64, node String) ENGINE = MergeTree() ORDER BY time")
    with exporting(server) as (exporter, feed):
        feed.put(ended_flows(10))
        wait_for(lambda: exporter.status().discarded == {"rejected": 10})
    assert "No such column" in caplog.text


def test_a_replayed_node_has_the_same_numbers_in_clickhouse_and_in_the_api(server: ClickHouseServer, tmp_path: Path) -> None:
    """The whole way: recording, pipeline, stores, exporter, server. Ended flows, requests and lookups with their names."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    words = ["replay", str(RECORDING), "--serve", "--listen", "127.0.0.1:0", "--clickhouse-url", server.url]
    words += ["--clickhouse-user", "agent", "--clickhouse-password-file", str(tmp_path / "password")]
    agent = subprocess.Popen(
        [sys.executable, "-m", "collector", *words, "--clickhouse-batch-seconds", "1s", "--clickhouse-flow-seconds", "5s"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with agent:
        try:
            check_against_api(agent, server)
        finally:
            agent.terminate()
            assert agent.wait(PATIENCE_SECONDS) == 0


def check_against_api(agent: subprocess.Popen[str], server: ClickHouseServer) -> None:
    assert agent.stdout is not None
    words = (word for line in agent.stdout for word in line.split())
    url = next(word for word in words if word.startswith("http://127.0.0.1:")).rstrip("/.,")
    flows = httpx.get(f"{url}/api/v1/flows", params={"limit": 10_000}).json()["flows"]
    lookups = httpx.get(f"{url}/api/v1/lookups", params={"limit": 10_000}).json()["lookups"]
    assert min(len(flows), len(lookups)) > 0
    wait_for(lambda: tables(server) >= {"honeyguide_flows", "honeyguide_lookups"})
    wait_for(lambda: int(server.ask("SELECT uniqExact(flow) FROM honeyguide_flows")) == len(flows))
    wait_for(lambda: int(server.ask("SELECT count() FROM honeyguide_lookups")) == len(lookups))
    names = {one["local_workload"] for one in flows}
    assert by_workload(server) == {
        name: sum(one["bytes_sent"] for one in flows if one["local_workload"] == name) for name in names
    }
    asked = server.ask("SELECT question FROM honeyguide_lookups ORDER BY question").split("\n")
    assert asked == sorted(one["question"] for one in lookups)


def test_a_running_agent_sends_its_last_rows_when_it_is_stopped(
    server: ClickHouseServer, start_agent: Callable[..., RunningAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is due before: a batch waits ten minutes here. Requests, flows and the names of both ends."""
    monkeypatch.setenv("HONEYGUIDE_CLICKHOUSE_PASSWORD", PASSWORD)
    options = ("--clickhouse-user", "agent", "--clickhouse-batch-seconds", "10m", "--snapshot-interval", "1s")
    agent = start_agent("--clickhouse-url", server.url, *options)
    with http_server() as port:
        for number in range(REQUESTS):
            httpx.get(f"http://127.0.0.1:{port}/things/{number}")
        seen = f"/api/v1/requests?port={port}&role=server&limit=1"
        assert agent.wait_until(seen, lambda found: found["total"] >= REQUESTS)["total"] == REQUESTS
        ended = f"/api/v1/flows?port={port}&role=server&state=closed&limit=1"
        agent.wait_until(ended, lambda found: found["total"] >= REQUESTS)
        assert agent.stop() == 0
    where = f"role = 'server' AND server_port = {port}"
    assert server.ask(f"SELECT count(), uniqExact(path), any(status) FROM honeyguide_requests WHERE {where}") == "40\t40\t200"
    where = f"role = 'server' AND local_port = {port}"
    flows = server.ask(f"SELECT uniqExact(flow), sum(bytes_sent) > 0 FROM honeyguide_flows WHERE {where}")
    assert flows == f"{REQUESTS}\t1"
    assert PASSWORD not in agent.log.read_text()


@contextmanager
def http_server() -> Iterator[int]:
    """One answer a connection, from a process of its own."""
    with subprocess.Popen([sys.executable, "-c", ANSWERING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def tables(server: ClickHouseServer) -> set[str]:
    return set(server.ask("SHOW TABLES FROM default").split())


def by_workload(server: ClickHouseServer) -> dict[str, int]:
    answer = server.ask("SELECT local_workload, sum(bytes_sent) FROM honeyguide_flows GROUP BY local_workload")
    return {name: int(count) for name, _, count in (line.rpartition("\t") for line in answer.split("\n"))}
