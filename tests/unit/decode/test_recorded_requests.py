"""Requests in a recording: what is replayed is what was seen, and no byte of what applications sent is in the file."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from exchange_rows import SCHEMA, SERVER, exchange_batch, exchange_row
from privacy_corpus import find_secrets, http_answer, http_request, secret

from collector.accounts import Book
from collector.agent import Agent
from collector.batch import Batch
from collector.catalog.probe_folder import read_manifest
from collector.catalog.probe_model import ProbeModel
from collector.clock import FixedClock
from collector.node import Node
from collector.node_building import build_node
from collector.probe_status import ProbeStatus
from collector.recorder import Recorder
from collector.request_lines import write_requests
from collector.settings import Settings
from collector.source.recording import RecordingWriter
from collector.source.replay_source import ReplaySource

PROBES = Path(__file__).resolve().parents[3] / "probes"
OFFSET_NS, BOOT_NS = 1_790_000_000_000_000_000, 5_000_000_000


class Kernel:
    """Gives these batches, one read each."""

    def __init__(self, *batches: Batch) -> None:
        self.model = ProbeModel("socket_data", read_manifest(PROBES / "socket_data"), {"socket_exchange": SCHEMA}, {})
        self.steered: dict[str, Mapping[int, int]] = {}
        self._batches = list(batches)

    def open(self) -> None: ...

    def read(self) -> Sequence[Batch]:
        return [self._batches.pop(0)] if self._batches else []

    @property
    def finished(self) -> bool:
        return not self._batches

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        self.steered[probe] = modes

    def books(self) -> Sequence[Book]:
        return []

    def statuses(self) -> Sequence[ProbeStatus]:
        return []

    def fills(self) -> Mapping[tuple[str, str], float]:
        return {}

    def close(self) -> None: ...


def exchanges(first: int) -> Batch:
    """Ten requests with secrets; their paths are new to each batch."""
    paths = [b"/orders%d/%d?token=" % (first, 1000 + number) + secret("query") for number in range(10)]
    answer = http_answer(b"200 OK", (b"Set-Cookie", secret("cookie")), body=secret("body"))
    rows = [
        exchange_row(http_request(path, (b"Cookie", secret("sent"))), answer, flow=number + 1, started=BOOT_NS + first + number)
        for number, path in enumerate(paths)
    ]
    return exchange_batch(*rows)


def kernel() -> Kernel:
    return Kernel(*(exchanges(first) for first in (1, 2, 3)))


def record(path: Path) -> Kernel:
    source = kernel()
    with RecordingWriter(path, [source.model], "6.18.0", 1.5) as writer:
        recorder = Recorder(source, [source.model], writer, FixedClock(OFFSET_NS, BOOT_NS))
        while not source.finished:
            recorder.drain()
    return source


def run(source: Any, clock: FixedClock, probes: Sequence[ProbeModel]) -> Node:
    node = build_node(Settings(), clock, source, {})
    for probe in probes:
        node.add_probe(probe)
    Agent(Settings(), source, node).replay()
    return node


def requests_of(node: Node) -> Counter[tuple[Any, ...]]:
    view = node.requests.view()
    columns = ("operation", "resource", "route", "status", "outcome", "role")
    return Counter(
        (*(view.words[name][row[name]] for name in columns), int(row["duration"]), int(row["time"]))
        for part in view.history
        for row in part
    )


def metrics_of(node: Node) -> list[str]:
    pieces, _ = node.render_metrics("") or ((), "")
    return [line for line in b"".join(pieces).decode().splitlines() if line.startswith("http_")]


def test_replay_gives_the_requests_and_metrics_that_were_seen(tmp_path: Path) -> None:
    seen = kernel()
    live = run(seen, FixedClock(OFFSET_NS, BOOT_NS), [seen.model])
    record(tmp_path / "node.recording")
    source = ReplaySource(tmp_path / "node.recording")
    source.open()
    replayed = run(source, source.clock, source.probes)
    assert (source.complete, source.undecodable) == (True, 0)
    assert requests_of(replayed) == requests_of(live)
    assert requests_of(live).total() == 30
    assert metrics_of(replayed) == metrics_of(live)
    assert any("orders1" in line for line in metrics_of(live))


def test_file_holds_no_byte_of_what_was_sent(tmp_path: Path) -> None:
    record(tmp_path / "node.recording")
    content = gzip.decompress((tmp_path / "node.recording").read_bytes())
    assert b"/orders3/1000" in content
    assert find_secrets(content) == []


def test_kernel_half_is_steered_as_by_the_agent(tmp_path: Path) -> None:
    assert set(record(tmp_path / "node.recording").steered) == {"socket_data"}


def test_requests_of_a_recording_are_lines_of_json(tmp_path: Path) -> None:
    record(tmp_path / "node.recording")
    source, out = ReplaySource(tmp_path / "node.recording"), io.StringIO()
    source.open()
    assert write_requests(source, out) == 30
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {(line["operation"], line["status"]) for line in lines} == {("GET", "200")}
    assert lines[0]["resource"] == "/orders1/1000"


@pytest.mark.parametrize(
    "damage",
    [
        {"type": "schema", "probe": "nobody", "record": "request", "schema": {}},
        {"type": "schema", "probe": "socket_data", "record": "socket_exchange", "schema": {}},
        {"type": "schema", "probe": "socket_data", "record": "request", "schema": {"fields": 7}},
        {"type": "words", "probe": "socket_data", "record": "request", "field": "status", "names": {"1": "x"}},
        {"type": "words", "probe": "socket_data", "record": "request", "field": [], "names": 5},
    ],
)
def test_what_a_damaged_file_says_about_its_rows_is_left_out(tmp_path: Path, damage: dict[str, Any]) -> None:
    source = kernel()
    with RecordingWriter(tmp_path / "node.recording", [source.model], "", 0.0) as writer:
        writer._write(damage)
        writer.write_batch(source.read()[0], OFFSET_NS, BOOT_NS)
    replayed = ReplaySource(tmp_path / "node.recording")
    replayed.open()
    assert len(replayed.read()) == 1
    assert replayed.undecodable == 1


def test_every_request_is_one_at_the_server() -> None:
    """The sample itself: what the tests above compare is not empty."""
    assert {int(role) for role in exchanges(1)["role"]} == {SERVER}
