"""The recording of a real node that ships with the project, through the whole pipeline without root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.agent import Agent
from collector.node import Node
from collector.node_building import build_node
from collector.settings import Settings
from collector.source.replay_source import ReplaySource
from collector.store.flow_filter import EndFilter, FlowFilter
from collector.store.flow_query import FlowQuery, run
from collector.store.workload_names import WorkloadNames
from collector.workload import WorkloadKind

POD = "8f3a2b1c-0d4e-4f5a-9b6c-7d8e9f0a1b2c"


@pytest.fixture
def node(project: Path) -> Iterator[Node]:
    source = ReplaySource(project / "tests/data/node.recording")
    source.open()
    replayed = build_node(Settings(), source.clock, source, {})
    for probe in source.probes:
        replayed.add_probe(probe)
    Agent(Settings(), source, replayed).replay()
    yield replayed
    source.close()


def test_pod_and_unit_are_named(node: Node) -> None:
    named = {(workload.kind, workload.name) for workload in node.identities.workloads()}
    assert {(WorkloadKind.POD, POD), (WorkloadKind.UNIT, "nginx.service")} <= named


def test_every_request_of_the_pod_is_a_flow_to_the_unit(node: Node) -> None:
    asked = FlowFilter(peer=EndFilter(workloads=("nginx.service",)), roles=("client",), states=("closed",))
    page = run(FlowQuery(asked), node.flows.view(), WorkloadNames(node.identities.workloads()))
    assert page.total == 12


def test_metrics_say_the_same(node: Node) -> None:
    page, _ = node.render_metrics("") or (b"", "")
    opened = [line for line in page.decode().splitlines() if line.startswith("honeyguide_tcp_connections_opened_total{")]
    of_pod = [line for line in opened if POD in line and 'honeyguide_flow_role="client"' in line and "nginx.service" in line]
    assert [float(line.rsplit(" ", 1)[1]) for line in of_pod] == [12.0]


def test_lookups_have_their_results(node: Node) -> None:
    page, _ = node.render_metrics("") or (b"", "")
    lines = [line for line in page.decode().splitlines() if line.startswith("honeyguide_dns_lookups_total{")]
    client = [line for line in lines if 'honeyguide_dns_role="client"' in line]
    results = {line.split('response_code="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in client}
    assert results == {"noerror": 2.0, "refused": 1.0, "timeout": 1.0}


def test_books_of_the_recording_balance(node: Node) -> None:
    books = node.source.books()
    assert books
    assert all(book.balanced and not book.lost for book in books)
