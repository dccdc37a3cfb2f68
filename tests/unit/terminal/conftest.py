"""A real agent's API to look at, and the command line as a person uses it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from api.conftest import filled_agent
from api.running_agent import TOKEN, RecordedAgent
from otlp_receiver import wait_for
from store.flow_batches import OFFSET_NS, ended, events

from collector.__main__ import main
from collector.api.security import Security
from collector.api.server import ApiServer


@dataclass(frozen=True)
class Printed:
    status: int
    out: str
    err: str


Honeyguide = Callable[..., Printed]


@pytest.fixture(scope="module")
def agent() -> RecordedAgent:
    agent = filled_agent()
    failed = ended(9000, local=2, peer=6, event="failed", outcome="refused", remote_address="192.0.2.7", error=111)
    strange = ended(9001, local=4, role="server", remote_address="2001:db8::7", local_port=6379, command=b"\x1b[31mred")
    agent.flows.add(events(failed, strange), OFFSET_NS, "tcp")
    return agent


@pytest.fixture(scope="module")
def server(agent: RecordedAgent) -> Iterator[ApiServer]:
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded() -> Iterator[ApiServer]:
    server = ApiServer(filled_agent(), "127.0.0.1", 0, Security(TOKEN, loopback_names_only=False))
    server.start()
    yield server
    server.stop()


@contextmanager
def ended_after_a_line(server: ApiServer, followers: Sized, add: Callable[[], None]) -> Iterator[None]:
    """Calls `add` once somebody follows, and ends the server once a line was printed (pytest's stdout can be read)."""

    def feed() -> None:
        try:
            wait_for(lambda: len(followers))
            add()
            wait_for(lambda: "\n" in sys.stdout.getvalue())  # type: ignore[attr-defined]
        finally:
            server.stop()

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
    finally:
        feeder.join()


@pytest.fixture
def honeyguide(server: ApiServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Honeyguide:
    """Runs one command against the agent of the test."""
    for name in ("TOKEN", "TOKEN_FILE", "CONFIG", "LISTEN"):
        monkeypatch.delenv(f"HONEYGUIDE_{name}", raising=False)
    monkeypatch.setenv("HONEYGUIDE_URL", server.url)

    def run(*words: str) -> Printed:
        status = main(words)
        captured = capsys.readouterr()
        return Printed(status, captured.out, captured.err)

    return run
