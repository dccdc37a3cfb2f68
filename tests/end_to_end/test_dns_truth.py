"""Lookups at real resolvers: what the API says equals what dnsmasq logged, nothing missed and nothing twice."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_SECONDS
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

NAMES = [f"name{number}.honeyguide.test" for number in range(7)]
TYPES = {"a": 1, "aaaa": 28, "txt": 16}
QUERY = re.compile(r" (\d+) \S+/(\d+) query\[(\w+)\] (\S+) from ")
ANSWER = re.compile(r" (\d+) \S+/\d+ config (\S+) is (\S+)")

# name, type, response code, addresses
Lookup = tuple[str, str, str, tuple[str, ...]]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        return port


class Resolver:
    """dnsmasq that knows all NAMES, and logs every question with the port it came from."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.log = folder / "dnsmasq.log"
        records = [f"--host-record={name},192.0.2.{10 + number},2001:db8::{number:x}" for number, name in enumerate(NAMES)]
        self.process = subprocess.Popen([
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
            "--bind-interfaces", "--listen-address=127.0.0.1", f"--port={port}", "--local=/test/", "--log-queries=extra",
            f"--log-facility={self.log}", *records,
        ])  # fmt: skip

    def lookups(self) -> Counter[tuple[int, Lookup]]:
        """(port of the client, lookup) as the log tells it."""
        asked: dict[str, tuple[int, str, str]] = {}
        answers: dict[str, list[str]] = {}
        for line in self.log.read_text().splitlines():
            if query := QUERY.search(line):
                asked[query[1]] = (int(query[2]), query[4].lower(), query[3].lower())
            elif answer := ANSWER.search(line):
                answers.setdefault(answer[1], []).append(answer[3])
        return Counter((port, (name, kind, *outcome(answers.get(serial, [])))) for serial, (port, name, kind) in asked.items())


def outcome(logged: list[str]) -> tuple[str, tuple[str, ...]]:
    """Response code and addresses out of what dnsmasq says a name is."""
    addresses = tuple(sorted(text for text in logged if text[0].isdigit()))
    return "nxdomain" if "NXDOMAIN" in logged else "noerror", addresses


@pytest.fixture
def resolver(tmp_path: Path) -> Iterator[Resolver]:
    started = Resolver(tmp_path, free_port())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "started" not in (started.log.read_text() if started.log.exists() else "") and time.monotonic() < deadline:
        time.sleep(0.05)
    yield started
    started.process.terminate()
    started.process.wait()


def question(identifier: int, name: str, kind: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", TYPES[kind], 1)


def ask_over_udp(port: int, name: str, kind: str, *, connect: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        message = question(len(name), name, kind)
        if connect:
            client.connect(("127.0.0.1", port))
            client.send(message)
        else:
            client.sendto(message, ("127.0.0.1", port))
        client.recv(4096)


def ask_over_tcp_at_once(port: int, names: list[str]) -> None:
    """All questions in one write on one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        messages = [question(number, name, "a") for number, name in enumerate(names)]
        client.sendall(b"".join(struct.pack("!H", len(message)) + message for message in messages))
        stream = client.makefile("rb")
        for _ in names:
            stream.read(struct.unpack("!H", stream.read(2))[0])


def shown(lookup: dict[str, Any]) -> Lookup:
    return lookup["question"], lookup["question_type"], lookup["response_code"], tuple(sorted(lookup["answers"]))


def fetch(agent: RunningAgent, expected: int) -> list[dict[str, Any]]:
    answer = agent.wait_until("/api/v1/lookups?limit=10000", lambda found: found["total"] >= expected)
    lookups: list[dict[str, Any]] = answer["lookups"]
    return lookups


def test_every_lookup_is_there_once_at_each_side(start_agent: Callable[..., RunningAgent], resolver: Resolver) -> None:
    agent = start_agent("--dns-ports", str(resolver.port))
    for number in range(200):
        kind = ("a", "aaaa", "txt")[number % 3]
        ask_over_udp(resolver.port, NAMES[number % len(NAMES)], kind, connect=number % 2 == 0)
    for number in range(23):
        ask_over_udp(resolver.port, f"missing{number}.test", "a", connect=True)
    ask_over_tcp_at_once(resolver.port, NAMES * 3)
    for name in NAMES:
        for options in ([], ["+tcp"], ["-t", "AAAA"]):
            subprocess.run(["dig", "@127.0.0.1", "-p", str(resolver.port), name, *options], check=True, stdout=subprocess.DEVNULL)
    logged = resolver.lookups()
    assert logged.total() == 200 + 23 + 21 + 21
    lookups = fetch(agent, 2 * logged.total())
    at_server = [lookup for lookup in lookups if lookup["role"] == "server"]
    at_client = [lookup for lookup in lookups if lookup["role"] == "client"]
    assert Counter((lookup["peer_port"], shown(lookup)) for lookup in at_server) == logged
    assert Counter(shown(lookup) for lookup in at_client) == Counter(lookup for _, lookup in logged.elements())
    assert {lookup["process"] for lookup in at_server} == {"dnsmasq"}
    asked_by = Counter(lookup["pid"] if lookup["process"] != "dig" else "dig" for lookup in at_client)
    assert asked_by == {os.getpid(): 200 + 23 + 21, "dig": 21}
    assert all(0 < lookup["duration_seconds"] < PATIENCE_SECONDS for lookup in lookups)


@contextmanager
def silent_server() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


def test_questions_that_nobody_answers_time_out_once_however_often_they_are_sent(
    start_agent: Callable[..., RunningAgent],
) -> None:
    with silent_server() as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        agent = start_agent("--dns-ports", str(port))
        for number, name in enumerate(NAMES):
            for _ in range(3):
                client.sendto(question(number, name, "a"), ("127.0.0.1", port))
        lookups = fetch(agent, 2 * len(NAMES))
    expected = Counter({(name, "timeout", 3, role): 1 for name in NAMES for role in ("client", "server")})
    found = Counter((row["question"], row["response_code"], row["query_count"], row["role"]) for row in lookups)
    assert found == expected
