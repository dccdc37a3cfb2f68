"""Secrets go over real sockets under a real agent with everything switched on: none comes out anywhere."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from otlp_receiver import HttpReceiver, http_receiver, wait_for
from patience import PATIENCE_SECONDS
from played_talk import converse
from privacy_corpus import all_talks, find_secrets
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

COMMANDS = ("requests", "flows", "map", "workloads", "processes", "probes", "lookups", "top --once", "requests -o json")
GROUPS = ("workload", "peer", "process", "port", "protocol", "role", "operation", "route", "status", "error", "outcome")
TEXTS = ("SELECT name FROM users WHERE email = ?", "UPDATE carts SET note = ?")
NEEDED = {"address": "127.0.0.1"}  # for routes that do not answer without
RECORDED_SECONDS = 12


def converse_about_all() -> None:
    """Unix sockets want a short path, which pytest's folders are not."""
    with tempfile.TemporaryDirectory(prefix="honeyguide.", dir="/tmp") as name:
        converse_in(Path(name))


def converse_in(folder: Path) -> None:
    for talk in all_talks():
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            converse(talk, listener)
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(str(folder / f"{talk.name}.{time.monotonic_ns()}"))
            listener.listen()
            converse(talk, listener)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with http_receiver() as receiver:
        yield receiver


def told(agent: RunningAgent) -> set[tuple[str, str]]:
    """(operation, route) of all requests, and ('POST', '') as well where the route has a name: not every talk names it."""
    rows = agent.ask("/api/v1/requests?limit=10000")["requests"]
    pairs = {(row["operation"], row["route"] or "") for row in rows}
    return pairs | {(operation, "") for operation, _ in pairs}


def answers(agent: RunningAgent) -> Iterator[tuple[str, bytes]]:
    """Every route that answers at once, in each of its forms."""
    paths = json.loads(agent.get("/openapi.json"))["paths"]
    asked = {path: ways["get"] for path, ways in paths.items() if "get" in ways and not path.endswith("/stream")}
    assert len(asked) >= 8
    for path, way in asked.items():
        needed = [one["name"] for one in way.get("parameters", ()) if one.get("required")]
        yield path, agent.get(f"{path}?{urlencode({name: NEEDED[name] for name in needed})}").encode()
    yield from ((f"group {key}", agent.get(f"/api/v1/requests?group_by={key}").encode()) for key in GROUPS)
    for form in ("csv", "ndjson"):
        yield form, agent.get(f"/api/v1/requests?format={form}&limit=10000").encode()
    question = urllib.request.Request(agent.address + "/metrics", headers={"Accept": "application/openmetrics-text"})
    with urllib.request.urlopen(question, timeout=PATIENCE_SECONDS) as page:
        yield "openmetrics", page.read()


def printed(agent: RunningAgent) -> Iterator[tuple[str, bytes]]:
    environment = {**os.environ, "HONEYGUIDE_URL": agent.address, "COLUMNS": "250"}
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "collector", *command.split()],
            env=environment, check=False, capture_output=True, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        assert done.returncode in (0, 1), (command, done.stderr)
        yield command, done.stdout + done.stderr


@contextmanager
def following(address: str) -> Iterator[bytearray]:
    """What comes over the live stream of requests."""
    seen = bytearray()
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /api/v1/requests/stream HTTP/1.1\r\nHost: %b\r\n\r\n" % address[7:].encode())

        def read() -> None:
            while piece := connection.recv(65536):
                seen.extend(piece)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield seen
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            reader.join()


@contextmanager
def recorded(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "collector", "record", "-o", str(path), "--seconds", str(RECORDED_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as recorder:
        try:
            yield recorder
        finally:
            recorder.kill()


@pytest.mark.parametrize("query_text", [False, True], ids=["as it comes", "with the texts of queries"])
def test_no_secret_leaves_the_node(
    start_agent: Callable[..., RunningAgent], receiver: HttpReceiver, tmp_path: Path, query_text: bool
) -> None:
    recording = tmp_path / "node.recording"
    switched_on = ("--log-level", "debug", "--trace-ratio", "1", "--traces-per-second", "10000", "--program-statistics")
    agent = start_agent(*switched_on, *(["--query-text"] if query_text else []), "--otlp-endpoint", receiver.address)
    wanted = {pair for talk in all_talks() for pair in talk.shown}
    with recorded(recording) as recorder, following(agent.address) as stream:
        wait_for(recording.exists)
        converse_about_all()
        agent.wait_until("/api/v1/requests?limit=10000", lambda _: wanted <= told(agent))
        assert wanted <= told(agent)
        wait_for(lambda: len(receiver.traces) > 0 and len(receiver.received) > 1)
        wait_for(lambda: b"shop.v1.Orders/Place" in stream)
        outputs: dict[str, bytes] = {**dict(answers(agent)), **dict(printed(agent))}
        said, _ = recorder.communicate(timeout=PATIENCE_SECONDS + RECORDED_SECONDS)
        assert agent.stop() == 0
    spans = b"".join(request.SerializeToString() for request in receiver.traces)
    outputs |= {
        "spans": spans,
        "points": b"".join(request.SerializeToString() for request in receiver.received),
        "log": agent.log.read_bytes(),
        "recording": gzip.decompress(recording.read_bytes()),
        "recorder": said,
        "live": bytes(stream),
    }
    assert b"shop.v1.Orders/Place" in spans
    assert {name: found for name, output in outputs.items() if (found := find_secrets(output))} == {}
    assert [text.encode() in spans for text in TEXTS] == [query_text] * len(TEXTS)


def test_the_search_finds_what_it_looks_for() -> None:
    """A search that finds nothing proves nothing unless it can find."""
    sent: list[Any] = [data for talk in all_talks() for _, data in talk.steps]
    assert len(find_secrets(b"".join(sent))) >= 2
    assert all(find_secrets(b"".join(data for _, data in talk.steps)) for talk in all_talks())
