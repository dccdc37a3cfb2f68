"""A watch over a real API server, as the service account of our manifests: the agent knows what kubectl tells."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_sink import RememberingSink, Watched, watching_by
from cluster_truth import (
    known_containers,
    known_nodes,
    known_pods,
    known_services,
    told_containers,
    told_nodes,
    told_pods,
    told_services,
)
from cluster_writer import ClusterWriter, access_by
from otlp_receiver import wait_for
from real_api_server import RealApiServer

from collector.cluster_facts import Owner, Pod
from collector.cluster_status import WatchState
from collector.kubernetes.cluster_watch import WatchOptions
from collector.kubernetes.reflector import Pace

OURS = WatchOptions("node-1", "off")
SHORT_STREAMS = Pace(silence=20.0, list_silence=10.0, stream=3.0, spread=0.0, scale=0.02)
CHANGES = 400


@pytest.fixture
def watched(server: RealApiServer, account: Path) -> Iterator[Watched]:
    """The pods of node-1."""
    with watching_by(access_by(account, server.ports[0]), OURS) as watching:
        wait_for(watching.synced)
        yield watching


def in_step(writer: ClusterWriter, sink: RememberingSink, node: str = "node-1", seconds: float = 20.0) -> bool:
    """True as soon as the agent knows what kubectl tells; AssertionError with the difference otherwise."""
    told = told_pods(writer, node)
    deadline = time.monotonic() + seconds
    while known_pods(sink) != told and time.monotonic() < deadline:
        time.sleep(0.05)
    assert known_pods(sink) == told
    return True


def churn(writer: ClusterWriter, namespace: str, changes: int) -> int:
    """Pods that are made, placed, started, restarted, ended and removed, few addresses given again and again."""
    chance, made = random.Random(11), 0
    alive: list[str] = []
    over: set[str] = set()
    for number in range(changes):
        step = chance.random()
        if step < 0.4 or not alive:
            name = f"pod-{made}"
            made += 1
            writer.add_pod(namespace, name)
            writer.place_pod(namespace, name, f"node-{1 + number % 2}")
            writer.run_pod(namespace, name, f"10.1.0.{chance.randrange(1, 9)}")
            alive.append(name)
        elif step < 0.6:
            name = chance.choice(alive)
            over.discard(name)
            writer.run_pod(namespace, name, f"10.1.0.{chance.randrange(1, 9)}", restarts=number)
        elif step < 0.7:
            name = chance.choice(alive)
            over.add(name)
            writer.end_pod(namespace, name)
        else:
            name = alive.pop(chance.randrange(len(alive)))
            if step < 0.8 and name not in over:  # the server does not wait for one that is over
                writer.remove_pod(namespace, name, grace=5)
            writer.remove_pod(namespace, name)
    return made


@pytest.mark.parametrize("peers", ["off", "pods"])
def test_after_hundreds_of_changes_the_agent_knows_what_kubectl_tells(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str, peers: str
) -> None:
    options = WatchOptions("node-1", peers)  # type: ignore[arg-type]
    with watching_by(access_by(account, server.ports[0]), options) as watching:
        wait_for(watching.synced)
        assert churn(writer, namespace, CHANGES) > CHANGES / 4
        assert in_step(writer, watching.sink, "node-1" if peers == "off" else "")
        assert known_containers(watching.sink) == told_containers(writer, "node-1")
        assert watching.status().relists == {}
        assert watching.status().events.get("unreadable", 0) == 0


def test_services_and_nodes_are_those_that_kubectl_tells(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "services")) as watching:
        wait_for(lambda: watching.synced("services") and watching.synced("nodes"))
        writer.add_service(namespace, "plain")
        writer.add_service(namespace, "headless", clusterIP="None")
        writer.add_service(namespace, "outside", type="NodePort")
        writer.ask("DELETE", f"/api/v1/namespaces/{namespace}/services/plain")
        writer.add_node(f"node-of-{namespace}", "192.0.2.77")
        wait_for(lambda: known_services(watching.sink) == told_services(writer))
        wait_for(lambda: known_nodes(watching.sink) == told_nodes(writer))


@pytest.mark.only_on("kube-apiserver")
def test_a_server_without_endpoint_slices_v1_is_said_to_be_one_and_the_rest_goes_on(
    writer: ClusterWriter, server: RealApiServer, account: Path
) -> None:
    """1.20 has them as v1beta1 only."""
    with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "services")) as watching:
        wait_for(lambda: watching.status("endpointslices").cause)
        told = watching.status("endpointslices")
        assert told.state is WatchState.REFUSED
        assert "404" in told.cause
        assert "Kubernetes 1.21" in told.remedy
        assert "HONEYGUIDE_KUBERNETES_PEERS=off" in told.remedy
        wait_for(lambda: all(watching.synced(name) for name in ("pods", "services", "nodes")))


@pytest.mark.only_on("kube-apiserver")
def test_pages_are_asked_for_where_streaming_lists_are_not_known(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.kubernetes.reflector.PAGE_OBJECTS", 7)
    for number in range(30):
        writer.add_pod(namespace, f"page-{number}")
    with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "pods"), SHORT_STREAMS) as watching:
        wait_for(watching.synced)
        assert in_step(writer, watching.sink, "")
        assert watching.status().requests["unsupported"] == 1, "the question for a streaming list"
        assert watching.status().requests["answered"] >= 30 / 7


@pytest.mark.only_on("kube-apiserver")
def test_a_continue_token_that_etcd_forgot_is_answered_by_another_list(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.kubernetes.reflector.PAGE_OBJECTS", 7)
    for number in range(20):
        writer.add_pod(namespace, f"page-{number}")
    with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "pods"), SHORT_STREAMS) as watching:
        learn, compacted = watching.sink.learn, []

        def compact_once(changes: object) -> None:
            if not compacted:
                compacted.append(True)
                writer.add_pod(namespace, "meanwhile")
                server.compact()
            learn(changes)  # type: ignore[arg-type]

        monkeypatch.setattr(watching.sink, "learn", compact_once)
        wait_for(watching.synced)
        assert in_step(writer, watching.sink, "")
        assert compacted
        assert watching.status().relists == {"gone": 1}


def test_a_pod_becomes_ours_when_it_is_placed_and_is_marked_before_it_goes(
    writer: ClusterWriter, watched: Watched, namespace: str
) -> None:
    writer.add_pod(namespace, "mine")
    assert in_step(writer, watched.sink)
    assert watched.sink.named("mine") is None
    writer.place_pod(namespace, "mine", "node-1")
    wait_for(lambda: watched.sink.named("mine"))
    writer.run_pod(namespace, "mine", "10.1.0.9")
    writer.remove_pod(namespace, "mine", grace=5)
    assert in_step(writer, watched.sink)
    assert watched.sink.named("mine"), "its kubelet has not said yet that it is over"
    writer.remove_pod(namespace, "mine")
    wait_for(lambda: watched.sink.named("mine") is None)


def test_owners_are_followed_to_the_deployment(writer: ClusterWriter, watched: Watched, namespace: str) -> None:
    deployment, replica_set = writer.add_deployment(namespace, "cart")
    writer.add_pod(namespace, "cart-6d4cf56db6-abcde", replica_set)
    writer.place_pod(namespace, "cart-6d4cf56db6-abcde", "node-1")

    def owners() -> tuple[Owner, ...]:
        found = watched.sink.named("cart-6d4cf56db6-abcde")
        return found.owners if isinstance(found, Pod) else ()

    wait_for(lambda: len(owners()) == 2)
    assert owners()[1] == Owner("Deployment", "cart", deployment["metadata"]["uid"])
    assert 0 < watched.status("replicasets").received < 4000, "metadata only"


def test_bookmarks_carry_a_quiet_watch_past_what_the_server_forgets(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    """Nothing of node-1 changes, much of node-2 does: without bookmarks the next stream would begin too far back."""
    with watching_by(access_by(account, server.ports[0]), OURS, SHORT_STREAMS) as watching:
        wait_for(watching.synced)
        for number in range(300):
            name = f"other-{number}"
            writer.add_pod(namespace, name)
            writer.place_pod(namespace, name, "node-2")
            writer.remove_pod(namespace, name)
        ended = watching.status().requests["ended"]
        wait_for(lambda: watching.status().requests["ended"] >= ended + 2)
        assert watching.status().events["bookmark"] > 0
        assert watching.status().relists == {}
        assert in_step(writer, watching.sink)
