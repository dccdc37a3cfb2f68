"""The recording of a real node that ships with the project, through the whole pipeline without root.

tests/data/record_node.py made it; what is counted here is what tests/data/node_services.py did.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.agent import Agent
from collector.api.security import choose_security
from collector.api.server import ApiServer
from collector.node import Node
from collector.node_building import build_node
from collector.settings import Settings
from collector.source.replay_source import ReplaySource
from collector.store.flow_filter import EndFilter, FlowFilter
from collector.store.flow_query import FlowQuery, run
from collector.store.workload_names import WorkloadNames
from collector.workload import WorkloadKind

POD = "8f3a2b1c-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
ROUNDS = 6


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


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    server = ApiServer(node, "127.0.0.1", 0, choose_security("127.0.0.1", "", allow_unauthenticated=False))
    server.start()
    with httpx.Client(base_url=server.url, timeout=30) as asking:
        yield asking
    server.stop()


def requests_of(client: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/requests", params={"since": "10m", "limit": 1000, **parameters}).json()
    assert answer["total"] == len(answer["requests"])
    found: list[dict[str, Any]] = answer["requests"]
    return found


def test_pod_and_unit_are_named(node: Node) -> None:
    named = {(workload.kind, workload.name) for workload in node.identities.workloads()}
    assert {(WorkloadKind.POD, POD), (WorkloadKind.UNIT, "nginx.service")} <= named


def test_every_request_of_the_pod_is_a_flow_to_the_unit(node: Node) -> None:
    asked = FlowFilter(peer=EndFilter(workloads=("nginx.service",)), roles=("client",), states=("closed",))
    page = run(FlowQuery(asked), node.flows.view(), WorkloadNames(node.identities.workloads()))
    assert page.total == ROUNDS * (3 + 1 + 1)  # over HTTP/1, TLS and HTTP/2


def test_metrics_say_the_same(node: Node) -> None:
    pieces, _ = node.render_metrics("") or ((), "")
    lines = b"".join(pieces).decode().splitlines()
    opened = [line for line in lines if line.startswith("honeyguide_tcp_connections_opened_total{")]
    of_pod = [line for line in opened if POD in line and 'honeyguide_flow_role="client"' in line and "nginx.service" in line]
    assert [float(line.rsplit(" ", 1)[1]) for line in of_pod] == [ROUNDS * 5.0]


def test_lookups_have_their_results(node: Node) -> None:
    pieces, _ = node.render_metrics("") or ((), "")
    lines = [line for line in b"".join(pieces).decode().splitlines() if line.startswith("honeyguide_dns_lookups_total{")]
    client = [line for line in lines if 'honeyguide_dns_role="client"' in line]
    results: Counter[str] = Counter()
    for line in client:
        results[line.split('response_code="')[1].split('"')[0]] += int(float(line.rsplit(" ", 1)[1]))
    # dnsmasq, too, is a client: of the server that does not answer; IPv6 addresses of the shop do not exist
    assert results == {"noerror": ROUNDS * 5, "nxdomain": ROUNDS * 5 + 1, "refused": 1, "timeout": 2}


def test_requests_have_routes_and_statuses_at_both_ends(client: httpx.Client) -> None:
    rows = requests_of(client, protocol="http", role="server")
    found = Counter((row["local_workload"], row["operation"], row["route"], row["status"]) for row in rows)
    assert found == {
        ("nginx.service", "GET", "/users/:id", "200"): ROUNDS * 4,
        ("nginx.service", "GET", "/broken", "503"): ROUNDS,
        ("nginx.service", "GET", ":other", "404"): ROUNDS,
        **{(service, "GET", "/orders/:id", "200"): ROUNDS * 2 - 1 for service in ("nginx.service", "orders.service")},
        **{(service, "GET", "/orders/:id", "500"): ROUNDS + 1 for service in ("nginx.service", "orders.service")},
    }


def test_requests_under_tls_and_to_databases_are_there_and_nothing_secret(client: httpx.Client) -> None:
    assert Counter(row["role"] for row in requests_of(client, port=443)) == {"client": ROUNDS * 2, "server": ROUNDS * 2}
    commands = Counter(row["operation"] for row in requests_of(client, protocol="redis", role="server"))
    assert (commands["INCR"], commands["SET"], commands["LPUSH"]) == (ROUNDS * 3, ROUNDS, ROUNDS)
    statements = requests_of(client, protocol="postgresql", role="server")
    assert {row["local_workload"] for row in statements} == {"postgresql.service"}
    assert sum(row["operation"] == "INSERT" for row in statements) == 6
    assert [row["status"] for row in statements if row["outcome"] != "ok"] == ["42P01"]
    assert not [row for row in requests_of(client) if "secret" in str(row)]


def test_map_leads_from_the_pod_through_the_services(client: httpx.Client) -> None:
    found = client.get("/api/v1/services/map", params={"since": "10m"}).json()
    names = {node["id"]: node["name"] for node in found["nodes"]}
    edges = {(names[edge["client"]], names[edge["server"]]): edge for edge in found["edges"]}
    chain = (POD, "nginx.service", "orders.service", "redis.service")
    assert edges.keys() >= {*pairwise(chain), ("report.service", "postgresql.service")}
    (asked,) = edges["nginx.service", "orders.service"]["requests"]
    assert (asked["protocol"], asked["requests"], asked["errors"]) == ("http", ROUNDS * 3, ROUNDS + 1)


def test_nothing_of_the_machine_that_made_it_is_in_it(project: Path) -> None:
    content = gzip.decompress((project / "tests/data/node.recording").read_bytes())
    paths = set(re.findall(rb"/[\w.-]+/[\w./-]{4,}", content))
    known = (b"/usr/", b"/system.slice", b"/kubepods.slice", b"/users/")
    assert {path for path in paths if not path.startswith(known)} == set()


def test_books_of_the_recording_balance(node: Node) -> None:
    books = node.source.books()
    assert books
    assert all(book.balanced and not book.lost for book in books)
