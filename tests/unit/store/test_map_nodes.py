"""Nodes of the service map, and filters and groups by what a cluster told."""

from __future__ import annotations

import numpy as np
import pytest

from collector.store.flow_filter import EndFilter, FlowFilter
from collector.store.flow_query import FlowQuery, run
from collector.store.flows import FlowStore
from collector.store.map_nodes import MapNodes
from collector.store.parameter_error import ParameterError
from collector.store.service_map import draw_map
from collector.store.workload_names import WorkloadNames
from collector.workload import Workload, WorkloadKind
from store.flow_batches import OFFSET_NS, ended, events


def container(number: int, service: str, pod: str, name: str = "server", namespace: str = "shop") -> Workload:
    facts = {"k8s.pod.name": pod, "k8s.container.name": name, "k8s.node.name": f"node-{pod[-1]}", "k8s.pod.label.team": service}
    return Workload(number, WorkloadKind.POD, service, namespace, f"uid-{pod}", f"{number:064x}", facts=facts)


WORKLOADS = [
    Workload(0, WorkloadKind.UNKNOWN, "unknown"),
    container(1, "cart", "cart-1"),
    container(2, "cart", "cart-1", "proxy"),
    container(3, "cart", "cart-2"),
    container(4, "db", "db-1", namespace="data"),
    Workload(5, WorkloadKind.UNIT, "nginx.service"),
    Workload(6, WorkloadKind.NODE, "node-1"),
]
NAMES = WorkloadNames(WORKLOADS)


def store() -> FlowStore:
    """Each container of the cart, and nginx, asks the database once."""
    filled = FlowStore()
    flows = [ended(number, local=number, peer=4, remote_port=5432, role="client") for number in (1, 2, 3, 5)]
    filled.add(events(*flows), OFFSET_NS, "tcp")
    return filled


@pytest.mark.parametrize(
    ("by", "edges"),
    [
        ("workload", {("cart", "db"): 3, ("nginx.service", "db"): 1}),
        ("pod", {("cart-1", "db-1"): 2, ("cart-2", "db-1"): 1, ("nginx.service", "db-1"): 1}),
        ("namespace", {("shop", "data"): 3, ("nginx.service", "data"): 1}),
    ],
)
def test_map_is_drawn_by_workload_pod_or_namespace(by: str, edges: dict[tuple[str, str], int]) -> None:
    nodes = MapNodes(NAMES, by)
    drawn, total = draw_map(FlowFilter(), 100, store().view(), NAMES, nodes)
    assert {(nodes.node(edge.client).name, nodes.node(edge.server).name): edge.connections for edge in drawn} == edges
    assert total == len(edges)


def test_map_by_something_else_is_refused() -> None:
    with pytest.raises(ParameterError):
        MapNodes(NAMES, "colour")


def test_nobody_merges_into_nobody() -> None:
    assert MapNodes(NAMES).merge(np.zeros(0, np.int32)).tolist() == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"pods": ("cart-1",)}, {1, 2}),
        ({"pods": ("shop/cart-*",)}, {1, 2, 3}),
        ({"pods": ("uid-db-1",)}, {4}),
        ({"containers": ("proxy",)}, {2}),
        ({"nodes": ("node-1",)}, {1, 2, 4, 6}),
        ({"labels": ("team=cart",)}, {1, 2, 3}),
        ({"labels": ("team=*",), "nodes": ("node-2",)}, {3}),
        ({"namespaces": ("data",), "workloads": ("db",)}, {4}),
        ({"workloads": ("shop/cart",), "containers": ("server",)}, {1, 3}),
        ({"pods": ("nginx.service",)}, set()),
    ],
)
def test_filters_know_what_the_cluster_told(asked: dict[str, tuple[str, ...]], found: set[int]) -> None:
    assert EndFilter(**asked).workload_numbers(NAMES) == found


@pytest.mark.parametrize(
    ("key", "groups"),
    [
        ("pod", {"shop/cart-1": 2, "shop/cart-2": 1, "": 1}),
        ("peer_pod", {"data/db-1": 4}),
        ("container", {"server": 2, "proxy": 1, "": 1}),
        ("node", {"node-1": 2, "node-2": 1, "": 1}),
        ("workload", {"shop/cart": 3, "nginx.service": 1}),
    ],
)
def test_flows_are_summed_by_what_the_cluster_told(key: str, groups: dict[str, int]) -> None:
    page = run(FlowQuery(group_by=(key,)), store().view(), NAMES)
    assert {group.keys[key]: group.flows for group in page.groups} == groups
