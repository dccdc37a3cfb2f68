"""Probes that do something wrong, loaded one after the other into a running agent under load: each is stopped or refused by
name, with cause and remedy, and nobody else loses anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.end_to_end

BAD_PROBES = Path(__file__).resolve().parents[1] / "data/bad_probes"
LABELS, AT_ONCE = 100_000, 500


class Load:
    """Connects to itself until told to stop; knows how often."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._connect)
        self._thread.start()

    def _connect(self) -> None:
        while not self._stop.wait(0.005):
            with socket.create_connection(("127.0.0.1", self.port)) as client:
                accepted, _ = self._listener.accept()
                client.sendall(b"x")
                accepted.recv(1)
                accepted.close()
            self.connections += 1

    def end(self) -> int:
        self._stop.set()
        self._thread.join()
        self._listener.close()
        return self.connections


@contextmanager
def many_system_calls() -> Iterator[None]:
    """Thousands a second, so that a slow program at each of them is over its budget on an idle node, too."""
    stop = threading.Event()

    def call() -> None:
        while not stop.wait(0.001):
            for _ in range(20):
                os.getppid()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def running_load() -> Iterator[Load]:
    load = Load()
    try:
        yield load
    finally:
        load.end()


def post(address: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    content = json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/api/v1{path}", content, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def send_signals(count: int) -> None:
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for _ in range(count):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)  # within the budget of events, and within the ring
    signal.signal(signal.SIGUSR1, previous)


def probe_named(answer: Any, name: str) -> Any:
    return next((probe for probe in answer["probes"] if probe["probe"] == name), None)


def in_state(name: str, state: str) -> Callable[[Any], bool]:
    return lambda answer: (probe_named(answer, name) or {"state": ""})["state"] == state


@pytest.fixture
def agent(start_agent: Callable[..., Any], tmp_path: Path) -> Any:
    probes = tmp_path / "probes"
    shutil.copytree(BAD_PROBES, probes)
    names = ",".join(sorted(path.name for path in BAD_PROBES.iterdir()))
    return start_agent("--probe-path", str(probes), "--cache-folder", str(tmp_path / "cache"), "--disable", names)


def test_bad_probes_are_stopped_by_name_and_nobody_else_loses_anything(agent: Any) -> None:
    with running_load() as load:
        status, refusal = post(agent.address, "/probes/refused/enable", {})
        assert status == 409
        assert "may be NULL" in refusal["error"]["reason"]
        assert "probe.bpf.c:" in refusal["error"]["reason"]
        assert "Check the result" in refusal["error"]["allowed"]

        for name, cause in (("flood", "events a second"), ("slow", "of a CPU in the kernel")):
            with many_system_calls():
                assert post(agent.address, f"/probes/{name}/enable", {})[0] == 200
                stopped = probe_named(agent.wait_until("/api/v1/probes", in_state(name, "stopped")), name)
            assert stopped["state"] == "stopped"
            assert cause in stopped["cause"]
            assert f"honeyguide probe enable {name}" in stopped["remedy"]

        assert post(agent.address, "/probes/raising/enable", {})[0] == 200
        send_signals(3)
        stopped = probe_named(agent.wait_until("/api/v1/probes", in_state("raising", "stopped")), "raising")
        assert "probe.py:5: ZeroDivisionError" in stopped["cause"]

        assert post(agent.address, "/probes/many_labels/enable", {})[0] == 200
        send_signals(LABELS // AT_ONCE)
        health = agent.wait_until("/api/v1/health", lambda answer: "bad.many_labels" in str(answer["reasons"]))
        assert "over the limit max_series of bad.many_labels" in str(health["reasons"])
        connections, port = load.end(), load.port

    check_the_others(agent, connections, port)
    metrics = agent.get("/metrics")
    counted = sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("bad_many_labels_total"))
    assert counted == LABELS
    assert 'otel_metric_overflow="true"' in metrics
    assert "bad_flood_total" not in metrics
    assert post(agent.address, "/probes/many_labels/unload", {})[0] == 200
    assert "bad_many_labels_total" not in agent.get("/metrics")
    assert agent.stop() == 0


def check_the_others(agent: Any, connections: int, port: int) -> None:
    """Every connection of the load was seen, by both of its ends; no book of a shipped probe has a loss."""
    query = f"/api/v1/flows?port={port}&group_by=port"

    def all_seen(answer: Any) -> bool:
        return sum(group["flows"] for group in answer["groups"]) >= 2 * connections

    answer = agent.wait_until(query, all_seen)
    assert sum(group["flows"] for group in answer["groups"]) == 2 * connections
    shipped = [probe for probe in agent.ask("/api/v1/probes")["probes"] if probe["probe"] in ("tcp", "process", "udp", "dns")]
    assert len(shipped) == 4
    for probe in shipped:
        assert probe["state"] == "running"
        assert [(book["account"], book["lost"]) for book in probe["books"] if book["lost"]] == []
