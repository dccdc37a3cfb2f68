"""500 connections through nginx and through a Python server: what the API says equals what the servers logged."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ports import free_port, wait_for_port
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

CONNECTIONS = 500
NGINX = "/usr/sbin/nginx"
NGINX_CONFIGURATION = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format truth '$remote_port $request_length $bytes_sent $status';
    access_log {folder}/access.log truth;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}; keepalive_timeout 0; }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[int, Path, int]]:
    """(port, access log, pid of the master)."""
    port = free_port()
    for size in range(10):
        (tmp_path / f"file{size}").write_bytes(b"x" * (1 + 777 * size))
    (tmp_path / "nginx.conf").write_text(NGINX_CONFIGURATION.format(folder=tmp_path, port=port))
    server = subprocess.Popen([NGINX, "-c", str(tmp_path / "nginx.conf")])
    try:
        wait_for_port(port)
        yield port, tmp_path / "access.log", server.pid
    finally:
        server.terminate()
        server.wait()


def request(port: int, path: str) -> int:
    """One HTTP/1.0 exchange that the server closes; the client's port."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        own: int = connection.getsockname()[1]
        connection.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
        while connection.recv(65536):
            pass
        return own


def flows_of(agent: RunningAgent, port: int, role: str, count: int) -> list[dict[str, Any]]:
    query = f"/api/v1/flows?port={port}&role={role}&protocol=tcp&state=closed&limit=10000"
    answer = agent.wait_until(query, lambda found: len(found["flows"]) >= count)
    flows: list[dict[str, Any]] = answer["flows"]
    return flows


def test_nginx_logs_and_flows_agree(start_agent: Callable[..., RunningAgent], nginx: tuple[int, Path, int]) -> None:
    agent = start_agent()
    port, log, master = nginx
    before = len(log.read_text().splitlines())
    clients = {request(port, f"file{number % 10}") for number in range(CONNECTIONS)}
    served = flows_of(agent, port, "server", CONNECTIONS)
    asked = flows_of(agent, port, "client", CONNECTIONS)
    logged = {}
    for line in log.read_text().splitlines()[before:]:
        remote, received, sent, status = line.split()
        assert status == "200"
        logged[int(remote)] = (int(sent), int(received))
    assert len(logged) == len(clients) == CONNECTIONS
    assert {flow["peer_port"]: (flow["bytes_sent"], flow["bytes_received"]) for flow in served} == logged
    assert {flow["local_port"]: (flow["bytes_received"], flow["bytes_sent"]) for flow in asked} == logged
    assert len(served) == len(asked) == CONNECTIONS, "a connection was counted twice"
    assert {flow["outcome"] for flow in [*served, *asked]} == {"closed"}
    assert {flow["process"] for flow in served} == {"nginx"}
    workers = {int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()}
    assert {flow["pid"] for flow in served} == workers
    assert {flow["pid"] for flow in asked} == {os.getpid()}
    assert {flow["peer_workload"] for flow in asked} == {flow["local_workload"] for flow in served}
    assert agent.stop() == 0


class EchoServer:
    """Answers each connection with twice what it got, and notes both sizes by the client's port."""

    def __init__(self) -> None:
        self.noted: dict[int, tuple[int, int]] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, (_, remote) = self._socket.accept()
            except OSError:
                return
            with connection:
                received = b""
                while piece := connection.recv(65536):
                    received += piece
                connection.sendall(received * 2)
                self.noted[remote] = (2 * len(received), len(received))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def exchange(port: int, size: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"q" * size)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def test_a_python_server_and_flows_agree(start_agent: Callable[..., RunningAgent]) -> None:
    agent = start_agent()
    with closing(EchoServer()) as server:
        for number in range(CONNECTIONS):
            exchange(server.port, 1 + 131 * (number % 100))
        served = flows_of(agent, server.port, "server", CONNECTIONS)
        assert {flow["peer_port"]: (flow["bytes_sent"], flow["bytes_received"]) for flow in served} == server.noted
        assert len(served) == CONNECTIONS
        assert {flow["pid"] for flow in served} == {os.getpid()}
        opened = f"port={server.port}&group_by=role&state=closed"
        groups = agent.ask(f"/api/v1/flows?{opened}")["groups"]
        assert {group["role"]: group["bytes_sent"] for group in groups} == {
            "server": sum(sent for sent, _ in server.noted.values()),
            "client": sum(received for _, received in server.noted.values()),
        }


def connect_with(port: int, *, syn_count: int = 0, give_up_after: float | None = None) -> None:
    with socket.socket() as connection:
        if syn_count:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, syn_count)
        connection.settimeout(give_up_after)
        connection.connect(("127.0.0.1", port))


def test_failed_connects_tell_why(start_agent: Callable[..., RunningAgent]) -> None:
    """A full accept queue drops SYNs: the kernel gives up after one retry, or the application before it."""
    agent = start_agent()
    refused = free_port()
    for _ in range(23):
        with pytest.raises(ConnectionRefusedError):
            connect_with(refused)
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        first.connect(("127.0.0.1", port))
        with pytest.raises(TimeoutError):
            connect_with(port, give_up_after=0.2)
        with pytest.raises(TimeoutError):
            connect_with(port, syn_count=1)
        failed = agent.wait_until(f"/api/v1/flows?port={port}&state=failed", lambda found: len(found["flows"]) == 2)["flows"]
    assert {flow["outcome"]: flow["error"] for flow in failed} == {"abandoned": None, "timed_out": "ETIMEDOUT"}
    rejected = agent.wait_until(f"/api/v1/flows?port={refused}&state=failed", lambda found: len(found["flows"]) == 23)["flows"]
    assert len(rejected) == 23
    assert {(flow["outcome"], flow["error"], flow["pid"]) for flow in rejected} == {("refused", "ECONNREFUSED", os.getpid())}


def test_connections_older_than_the_agent_are_there_with_owner_and_role(start_agent: Callable[..., RunningAgent]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x" * 1000)
            assert len(accepted.recv(2000)) == 1000
            agent = start_agent()
            port = server.getsockname()[1]
            flows = agent.wait_until(f"/api/v1/flows?port={port}&state=open", lambda found: len(found["flows"]) == 2)["flows"]
            assert {flow["role"]: (flow["pid"], flow["bytes_sent"], flow["bytes_received"]) for flow in flows} == {
                "client": (os.getpid(), 1000, 0),
                "server": (os.getpid(), 0, 1000),
            }
            listening = agent.ask(f"/api/v1/flows?port={port}&state=listening")["flows"]
            assert [(flow["local_port"], flow["pid"]) for flow in listening] == [(port, os.getpid())]
            counted = [line for line in agent.get("/metrics").splitlines() if line.startswith("honeyguide_tcp_io_bytes_total")]
            assert not any("pytest" in line and float(line.rsplit(" ", 1)[1]) >= 1000 for line in counted), (
                "bytes of before were counted"
            )


def test_figures_of_an_open_connection_are_those_of_ss(start_agent: Callable[..., RunningAgent]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            agent = start_agent("--snapshot-interval", "0.5")
            client.sendall(b"x" * 12345)
            while accepted.recv(65536, socket.MSG_DONTWAIT | socket.MSG_PEEK) != b"x" * 12345:
                time.sleep(0.01)
            own = client.getsockname()[1]
            query = f"/api/v1/flows?port={own}&role=client&state=open"
            (flow,) = agent.wait_until(query, lambda found: found["flows"] and found["flows"][0]["bytes_sent"] == 12345)["flows"]
            told = subprocess.run(["ss", "-tiHn", f"sport = :{own}"], check=True, capture_output=True, text=True).stdout
            words = dict(word.split(":", 1) for word in told.split() if ":" in word and word[0].isalpha())
            assert int(words["bytes_sent"]) == flow["bytes_sent"]
            assert (int(words["segs_out"]), int(words["segs_in"])) == (flow["packets_sent"], flow["packets_received"])
            assert flow["rtt_seconds"] == pytest.approx(float(words["rtt"].split("/")[0]) / 1000, abs=2e-6)
