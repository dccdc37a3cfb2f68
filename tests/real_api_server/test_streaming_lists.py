"""What only newer servers have: lists that are streamed, and endpoint slices in version v1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster_sink import watching_by
from cluster_truth import known_pods, known_slices, told_pods, told_slices
from cluster_writer import ClusterWriter, Object, access_by, writing_to
from otlp_receiver import wait_for
from real_api_server import LIBRARY_SERVER, Program, RealApiServer, real_api_server
from started_agent import RunningAgent

from collector.kubernetes.cluster_watch import WatchOptions
from collector.kubernetes.permission_trials import try_permissions

pytestmark = pytest.mark.only_on("library")
WATCHED = ("pods", "services", "endpointslices", "nodes")
PODS = 1200


def test_everything_is_told_in_the_stream_that_goes_on_with_changes(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    for number in range(PODS):
        writer.add_pod(namespace, f"many-{number}")
    with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "pods")) as watching:
        wait_for(lambda: all(watching.synced(name) for name in WATCHED))
        assert known_pods(watching.sink) == told_pods(writer)
        writer.remove_pod(namespace, "many-0")
        wait_for(lambda: watching.sink.named("many-0") is None)
        for name in WATCHED:
            told = watching.status(name)
            assert (told.requests, told.relists, told.waits) == ({}, {}, 0), "one stream each, which still runs"
            assert told.events["bookmark"] >= 1


def run_pod(writer: ClusterWriter, namespace: str, name: str, address: str) -> Object:
    writer.add_pod(namespace, name)
    writer.place_pod(namespace, name, "node-2")
    return writer.run_pod(namespace, name, address)


def test_slices_are_those_that_kubectl_tells(writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str) -> None:
    first, second = (run_pod(writer, namespace, f"cart-{number}", f"10.3.0.{number}") for number in (1, 2))
    writer.put_slice(namespace, "cart", first)
    with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "services")) as watching:
        wait_for(lambda: watching.synced("endpointslices"))
        assert known_slices(watching.sink) == told_slices(writer)
        for pods in ((first, second), (second,), ()):
            writer.put_slice(namespace, "cart", *pods)
            wait_for(lambda: known_slices(watching.sink) == told_slices(writer))


@pytest.mark.end_to_end
def test_a_pod_behind_a_service_is_named_although_its_node_is_another(
    start_agent: Callable[..., RunningAgent], writer: ClusterWriter, namespace: str
) -> None:
    """Not one of its pods is asked for: a slice says who has the address."""
    pod = run_pod(writer, namespace, "cart-1", "10.3.1.1")
    writer.add_service(namespace, "cart", clusterIP="10.96.7.7", clusterIPs=["10.96.7.7"])
    writer.put_slice(namespace, "cart", pod)
    agent = start_agent("--kubeconfig", str(writer.kubeconfig(writer.new_token())), "--node-name", "node-1")
    behind = agent.wait_until("/api/v1/resolve?address=10.3.1.1", lambda answer: answer.get("name") == "cart-1")
    assert (behind["namespace"], behind["evidence"]) == (namespace, "pod")
    service = agent.wait_until("/api/v1/resolve?address=10.96.7.7&port=80", lambda answer: answer.get("name") == "cart")
    assert (service["namespace"], service["evidence"]) == (namespace, "service")
    health: Any = agent.ask("/api/v1/health")
    assert not [reason for reason in health["reasons"] if "kubernetes" in reason.lower()]
    assert agent.stop() == 0


def test_the_doctor_finds_nothing_missing(server: RealApiServer, writer: ClusterWriter, account: Path) -> None:
    trials = try_permissions(access_by(account, server.ports[0]), "node-1", "services")
    assert {one.subject for one in trials} >= {"list endpointslices", "watch endpointslices"}
    assert [one.subject for one in trials if one.cause] == []


@dataclass(frozen=True)
class WithOldEtcd(Program):
    """Debian 12's etcd 3.4 cannot tell how far a watch has come, and streaming lists need that."""

    def etcd(self, name: str = "etcd") -> str:
        return name


def test_a_server_whose_etcd_is_too_old_for_streaming_lists_is_listed_in_pages(tmp_path: Path) -> None:
    """It answers 200 first, and then with an error in the stream."""
    program = WithOldEtcd(LIBRARY_SERVER.variable, whole=False)
    with real_api_server(tmp_path, program) as server, writing_to(server) as writer:
        writer.give_rights()
        writer.add_pod("honeyguide", "web-1")
        account = writer.mounted_account(tmp_path / "serviceaccount")
        with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "pods")) as watching:
            wait_for(watching.synced)
            assert watching.sink.names() == {"web-1"}
            assert watching.status().requests["answered"] == 1
            assert watching.status().requests["server_error"] >= 1
