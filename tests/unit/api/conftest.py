"""A server for each test module: real HTTP on a free port of 127.0.0.1."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from store.flow_batches import OFFSET_NS, SECOND, address, many_ended, snapshot, tcp

from api.running_agent import RecordedAgent
from collector.api.server import ApiServer
from collector.batch import Batch, BatchKind, Field, Schema

CODES = {0: "noerror", 3: "nxdomain", 4096: "timeout"}
LOOKUP_FIELDS = [
    ("observed_at", "<u8", "boot_ns", {}),
    ("duration", "<u8", "duration_ns", {}),
    ("local_address", "V16", "ip_address", {}),
    ("remote_address", "V16", "ip_address", {}),
    ("command", "S16", "command_name", {}),
    ("process", "<u4", "process_id", {}),
    ("role", "<u4", "lookup_role", {1: "client", 2: "server"}),
    ("transport", "<u4", "message_transport", {0: "udp", 1: "tcp"}),
    ("response_code", "<u2", "response_code", CODES),
    ("question_type", "<u2", "question_type", {1: "a", 28: "aaaa"}),
    ("answer_count", "<u2", "", {}),
    ("query_count", "<u2", "", {}),
    ("remote_port", "<u2", "ip_port", {}),
    ("truncated", "?", "", {}),
]
LOOKUP_SCHEMA = Schema(
    "dns",
    "dns_lookup",
    np.dtype([(name, code) for name, code, _, _ in LOOKUP_FIELDS]),
    tuple(Field(name, meaning, names) for name, _, meaning, names in LOOKUP_FIELDS),
)


def lookup_batch(questions: list[str], first_second: int = 1) -> Batch:
    """Lookups, one a second; every third timed out, every third has a type without a name."""
    rows = np.zeros(len(questions), LOOKUP_SCHEMA.dtype)
    rows["observed_at"] = (first_second + np.arange(len(rows))) * SECOND
    rows["duration"] = 1_500_000
    rows["local_address"], rows["remote_address"] = np.void(address("10.0.0.1")), np.void(address("fd00::53"))
    rows["command"], rows["process"], rows["remote_port"] = b"curl", 77, 53
    rows["role"], rows["question_type"], rows["answer_count"], rows["query_count"] = 1, 1, 2, 1
    rows["response_code"][::3], rows["duration"][::3] = 4096, 0
    rows["question_type"][1::3] = 65280
    answers = [((address("192.0.2.7"), 60), (address("2001:db8::7"), 30)) if index % 3 else () for index in range(len(rows))]
    columns = {
        "question": np.fromiter(questions, object, len(rows)),
        "answers": np.fromiter(answers, object, len(rows)),
        "local": np.full(len(rows), 2, np.int32),
        "peer": np.full(len(rows), 1, np.int32),
    }
    return Batch(LOOKUP_SCHEMA, BatchKind.EVENTS, rows, columns)


def filled_agent() -> RecordedAgent:
    agent = RecordedAgent()
    agent.flows.add(many_ended(1200), OFFSET_NS, "tcp")
    agent.flows.add(snapshot(*(tcp(n, local=1, peer=5) for n in range(5000, 5030))), OFFSET_NS, "tcp")
    agent.flows.add(snapshot(*(tcp(n, local=1, peer=5) for n in range(5000, 5030))), OFFSET_NS, "tcp")
    agent.lookups.add(lookup_batch([f"host{n}.example.org" for n in range(30)]), OFFSET_NS)
    return agent


@pytest.fixture(scope="module")
def agent() -> RecordedAgent:
    return filled_agent()


@pytest.fixture(scope="module")
def server(agent: RecordedAgent) -> Iterator[ApiServer]:
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(server: ApiServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client:
        yield client
