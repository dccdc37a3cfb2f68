"""The map: one edge for one connection, whichever ends of it are on this node."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.store.ends import find_other_ends
from collector.store.flow_filter import EndFilter, FlowFilter
from collector.store.flow_rows import FLOW
from collector.store.flows import FlowStore
from collector.store.map_nodes import MapNodes
from collector.store.service_map import Edge, draw_map
from collector.store.workload_names import WorkloadNames
from store.flow_batches import OFFSET_NS, SECOND, WORKLOADS, ended, events, snapshot, tcp

NAMES = WorkloadNames(WORKLOADS)
CURL, NGINX, CART = 5, 1, 2


def other_end(row: dict[str, Any], flow: int, **columns: Any) -> dict[str, Any]:
    """The same connection as its server saw it."""
    mirrored = {
        "flow": flow,
        "role": "server",
        "local_address": row["remote_address"],
        "remote_address": row["local_address"],
        "local_port": row["remote_port"],
        "remote_port": row["local_port"],
        "bytes_sent": row.get("bytes_received", 0),
        "bytes_received": row.get("bytes_sent", 0),
    }
    return row | mirrored | columns


def draw(*rows: dict[str, Any], **asked: Any) -> list[Edge]:
    store = FlowStore()
    store.add(snapshot(*(row for row in rows if row["outcome"] == "none")), OFFSET_NS, "tcp")
    store.add(events(*(row for row in rows if row["outcome"] != "none")), OFFSET_NS, "tcp")
    edges, total = draw_map(FlowFilter(**asked), 100, store.view(), NAMES, MapNodes(NAMES))
    assert total == len(edges)
    return list(edges)


def test_both_ends_of_a_connection_inside_the_node_are_one_edge() -> None:
    # the enrichers may know the other end by its address class only: the two ends know better together
    client = tcp(1, local=CURL, peer=6, bytes_sent=10, bytes_received=90, retransmits=1, smoothed_rtt=500)
    (edge,) = draw(client, other_end(client, 2, local=NGINX, peer=6, retransmits=2))
    assert (edge.client, edge.server, edge.port, edge.directed) == (CURL, NGINX, 80, True)
    assert (edge.connections, edge.open, edge.bytes_to_server, edge.bytes_to_client) == (1, 1, 10, 90)
    assert (edge.retransmits, edge.rtt_seconds) == (3, 0.0005)


def test_a_connection_seen_from_one_end_points_from_client_to_server() -> None:
    edges = draw(
        tcp(1, local=CURL, peer=6, bytes_sent=1), tcp(2, local=NGINX, peer=6, role="server", bytes_sent=2, local_port=443)
    )
    assert {(e.client, e.server, e.port, e.bytes_to_server, e.bytes_to_client) for e in edges} == {
        (CURL, 6, 80, 1, 0),
        (6, NGINX, 443, 0, 2),
    }


def test_where_nobody_knows_who_called_the_edge_says_so() -> None:
    (edge,) = draw(tcp(1, local=CURL, peer=6, role="unknown"))
    assert (edge.client, edge.server, edge.directed, edge.port) == (CURL, 6, False, 0)


def test_one_end_that_knows_its_role_tells_for_both() -> None:
    client = tcp(1, local=CURL, role="unknown")
    (edge,) = draw(client, other_end(client, 2, local=NGINX))
    assert (edge.client, edge.server, edge.directed, edge.port) == (CURL, NGINX, True, 80)


def test_failures_count_once_for_both_ends() -> None:
    client = ended(1, local=CURL, outcome="reset_by_peer")
    refused = ended(3, local=CURL, peer=NGINX, event="failed", outcome="refused")
    (edge,) = draw(client, other_end(client, 2, local=NGINX, outcome="aborted"), refused)
    assert (edge.connections, edge.failures, edge.open) == (2, 2, 0)


def test_loopback_of_two_namespaces_is_not_one_connection() -> None:
    client = tcp(1, local=CURL, peer=6, local_address="127.0.0.1", remote_address="127.0.0.1", netns=1)
    assert len(draw(client, other_end(client, 2, local=NGINX, netns=1))) == 1
    assert len(draw(client, other_end(client, 2, local=NGINX, netns=2))) == 2


def test_two_ends_in_two_namespaces_are_one_connection_over_a_real_address() -> None:
    client = tcp(1, local=CURL, netns=1)
    assert len(draw(client, other_end(client, 2, local=NGINX, netns=2))) == 1


def test_a_port_used_again_later_makes_another_pair() -> None:
    first = ended(1, local=CURL, local_port=40000)
    second = ended(1000, local=CART, local_port=40000)
    edges = draw(first, other_end(first, 2, local=NGINX), second, other_end(second, 1001, local=NGINX))
    assert {(edge.client, edge.server, edge.connections) for edge in edges} == {(CURL, NGINX, 1), (CART, NGINX, 1)}


def test_a_filter_on_either_end_keeps_the_whole_connection() -> None:
    client = tcp(1, local=CURL, bytes_sent=4)
    server = other_end(client, 2, local=NGINX, command=b"nginx")
    (edge,) = draw(client, server, tcp(3, local=CART), local=EndFilter(processes=("nginx",)))
    assert (edge.client, edge.server, edge.bytes_to_server) == (CURL, NGINX, 4)


def test_the_busiest_edges_come_first_and_all_are_counted() -> None:
    store = FlowStore()
    store.add(snapshot(tcp(1, peer=1), tcp(2, peer=2), tcp(3, peer=2), tcp(4, peer=3)), OFFSET_NS, "tcp")
    edges, total = draw_map(FlowFilter(), 2, store.view(), NAMES, MapNodes(NAMES))
    assert [(edge.server, edge.connections) for edge in edges] == [(2, 2), (1, 1)]
    assert total == 3


def test_listeners_are_no_edges_and_an_empty_store_has_none() -> None:
    assert draw(tcp(1, event="listening", role="listener")) == []
    assert draw() == []


def test_a_socket_connected_to_itself_is_its_own_other_end() -> None:
    (edge,) = draw(tcp(1, local=CURL, peer=CURL, remote_address="10.0.0.1", remote_port=tcp(1)["local_port"]))
    assert (edge.client, edge.server, edge.connections) == (CURL, CURL, 1)


ENDS = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 4), st.integers(0, 2)), max_size=40)


@given(ENDS)
@settings(deadline=None)
def test_pairs_are_mutual_and_name_each_other(ends: list[tuple[bool, int, int, int]]) -> None:
    rows = np.zeros(len(ends), FLOW)
    for row, (mirrored, port, start, length) in zip(rows, ends, strict=True):
        row["local_address"], row["remote_address"] = ((0, 2), (0, 3)) if mirrored else ((0, 3), (0, 2))
        row["local_port"], row["remote_port"] = (80, port) if mirrored else (port, 80)
        row["time"], row["ended_at"] = start * SECOND * 5, (start + length) * SECOND * 5 if length else 0
    other = find_other_ends(rows)
    for index, found in enumerate(other.tolist()):
        if found >= 0:
            assert other[found] == index != found
            assert rows["local_port"][index] == rows["remote_port"][found]
