"""Requests on the edges of the map: each once, whichever ends of it are on this node."""

from __future__ import annotations

from typing import Any

from collector.store.map_nodes import MapNodes
from collector.store.request_edges import EdgeKey, EdgeRequests, requests_of_edges
from collector.store.requests import RequestStore
from collector.store.workload_names import WorkloadNames
from store.flow_batches import WORKLOADS
from store.request_batches import CLIENT, MILLISECOND, OFFSET_NS, SECOND, SERVER, RequestBatches, request

NAMES = WorkloadNames(WORKLOADS)
NGINX, CURL = 1, 5


def edges(*rows: dict[str, Any], since: int | None = None) -> dict[EdgeKey, list[EdgeRequests]]:
    store = RequestStore()
    store.add(RequestBatches().batch(*rows), OFFSET_NS)
    found = requests_of_edges(since, None, store.view(), NAMES, MapNodes(NAMES))
    return {key: list(requests) for key, requests in found.items()}


def asked(second: float = 1, **columns: Any) -> dict[str, Any]:
    """The same request as its client saw it."""
    seen = {"role": CLIENT, "local": CURL, "peer": NGINX, "local_port": 40000, "remote_port": 80}
    return request(second, **{**seen, **columns})


def test_a_request_seen_at_both_ends_is_one() -> None:
    rows = [request(n) for n in range(1, 5)] + [asked(n, duration=2 * MILLISECOND) for n in range(1, 5)]
    assert edges(*rows) == {(CURL, NGINX, 80): [EdgeRequests("http", 4, 0, 0.002, 0.002)]}


def test_the_end_that_saw_more_counts() -> None:
    failed = {"status": "500", "outcome": "error", "error_type": "500"}
    rows = [request(1), request(2, **failed), request(3, duration=0, outcome="unanswered"), asked(1)]
    assert edges(*rows) == {(CURL, NGINX, 80): [EdgeRequests("http", 3, 2, 0.001, 0.001)]}


def test_ports_protocols_and_directions_are_kept_apart() -> None:
    found = edges(
        request(1),
        request(1, server_port=81),
        request(1, protocol="grpc"),
        request(2, protocol="grpc"),
        asked(1, local=NGINX, peer=CURL),
    )
    assert {key: [(one.protocol, one.requests) for one in requests] for key, requests in found.items()} == {
        (CURL, NGINX, 80): [("grpc", 2), ("http", 1)],
        (CURL, NGINX, 81): [("http", 1)],
        (NGINX, CURL, 80): [("http", 1)],
    }


def test_what_has_no_direction_or_no_port_is_on_no_edge() -> None:
    assert edges(request(1, role=0), request(1, transport=1, role=SERVER)) == {}
    assert edges() == {}


def test_only_the_range_counts() -> None:
    (one,) = edges(request(1), request(5), since=OFFSET_NS + 3 * SECOND)[(CURL, NGINX, 80)]
    assert one.requests == 1
