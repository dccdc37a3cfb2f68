"""The whole agent beside a real API server: its API tells of pods and addresses what kubectl tells, and what was so before."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from churn_judgement import check_names
from churning_cluster import NAMESPACE, Event
from cluster_writer import ClusterWriter
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

ADDRESSES, LIVES = 6, 4
CHURN_SECONDS = 12.0
LIFE_SECONDS = 2.5


@dataclass
class Tenancy:
    """Who had an address, in unix seconds. until: the second in which the next pod began; pods' starts are told in whole seconds,
    so that nobody can say more.
    """

    address: str
    name: str
    since: float
    until: float = 0.0


@dataclass
class Tenants:
    """Pods of both nodes that have few addresses, one after another."""

    writer: ClusterWriter
    namespace: str
    all: list[Tenancy] = field(default_factory=list)
    now: dict[str, Tenancy] = field(default_factory=dict)

    def move(self, number: int, life: int) -> None:
        """Out with the old, in with the new."""
        address, name = f"10.9.0.{number + 1}", f"tenant-{number}-{life}"
        old = self.now.pop(address, None)
        if old is not None:
            old.until = int(time.time())
            self.writer.remove_pod(self.namespace, old.name)
        self.writer.add_pod(self.namespace, name)
        self.writer.place_pod(self.namespace, name, f"node-{1 + number % 2}")
        began = time.time()
        started = datetime.fromtimestamp(int(began), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.writer.run_pod(self.namespace, name, address, startTime=started)
        self.now[address] = Tenancy(address, name, time.time())
        self.all.append(self.now[address])


@dataclass
class StaticPods:
    """Pods as the double would have them, written to a real server; their cgroups carry the UIDs in their annotation."""

    writer: ClusterWriter

    def put(self, _resource: str, body: Event) -> None:
        metadata, status = body["metadata"], body["status"]
        namespace, name = metadata["namespace"], metadata["name"]
        self.writer.add_static_pod(namespace, name, body["spec"]["nodeName"], metadata["uid"])
        self.writer.run_pod(namespace, name, status["podIP"], startTime=status["startTime"])

    def delete(self, _resource: str, namespace: str, name: str) -> None:
        self.writer.remove_pod(namespace, name)


def told_by_kubectl(writer: ClusterWriter, namespace: str) -> set[tuple[Any, ...]]:
    return {
        (one["metadata"]["uid"], one["metadata"]["name"], one["spec"]["nodeName"], one["status"]["podIP"])
        for one in writer.listed("pods", "-n", namespace)
    }


def told_by_agent(answer: Any) -> set[tuple[Any, ...]]:
    return {(one["uid"], one["name"], one["node"], *one["addresses"]) for one in answer["pods"] if not one["gone"]}


def test_pods_and_addresses_at_a_time_are_those_of_the_cluster(
    start_agent: Callable[..., RunningAgent], writer: ClusterWriter, namespace: str
) -> None:
    kubeconfig = str(writer.kubeconfig(writer.new_token()))
    agent = start_agent("--kubeconfig", kubeconfig, "--node-name", "node-1", "--kubernetes-peers", "pods")
    path = f"/api/v1/pods?namespace={namespace}&limit=1000"
    tenants = Tenants(writer, namespace)
    for life in range(LIVES):
        for number in range(ADDRESSES):
            tenants.move(number, life)
        told = told_by_kubectl(writer, namespace)
        assert told_by_agent(agent.wait_until(path, lambda answer, told=told: told_by_agent(answer) == told)) == told  # type: ignore[misc]
        newest = max(one.since for one in tenants.now.values())
        agent.wait_until("/api/v1/health", lambda _, newest=newest: time.time() > newest + LIFE_SECONDS)  # type: ignore[misc]
    assert len(tenants.all) == ADDRESSES * LIVES
    for one in tenants.all:
        middle = (one.since + (one.until or time.time())) / 2
        at = datetime.fromtimestamp(middle, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        answer = agent.ask(f"/api/v1/resolve?address={one.address}&at={at}")
        assert (answer["evidence"], answer["namespace"], answer["name"]) == ("pod", namespace, one.name), (one, answer)
    assert agent.stop() == 0


def test_pods_with_real_cgroups_and_addresses_are_named_by_what_the_server_tells(
    start_agent: Callable[..., RunningAgent], writer: ClusterWriter
) -> None:
    """Static pods, for the server gives every other a UID of its own, which their cgroups would have to carry."""
    writer.add_namespace(NAMESPACE)
    agent = start_agent("--kubeconfig", str(writer.kubeconfig(writer.new_token())), "--node-name", "node-1")
    check_names(agent, StaticPods(writer), CHURN_SECONDS)


@pytest.mark.only_on("kube-apiserver")
def test_an_old_server_is_named_by_health_with_what_to_do(
    start_agent: Callable[..., RunningAgent], writer: ClusterWriter
) -> None:
    agent = start_agent("--kubeconfig", str(writer.kubeconfig(writer.new_token())), "--node-name", "node-1")
    health = agent.wait_until("/api/v1/health", lambda health: any("endpointslices" in one for one in health["reasons"]))
    (reason,) = (one for one in health["reasons"] if "endpointslices" in one)
    assert "HONEYGUIDE_KUBERNETES_PEERS=off" in reason
    assert agent.stop() == 0
