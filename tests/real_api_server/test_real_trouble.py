"""A real API server that goes away, forgets, or does not let us in: what is told, and that all is right again afterwards."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cluster_sink import watching_by
from cluster_truth import known_pods, told_pods
from cluster_writer import BINDING, ClusterWriter, access_by
from cuttable_wire import cuttable_wire
from otlp_receiver import wait_for
from real_api_server import RealApiServer
from throwaway_certificates import make_certificates

from collector.cluster_status import WatchState
from collector.kubernetes.cluster_watch import WatchOptions
from collector.kubernetes.permission_trials import try_permissions
from collector.kubernetes.reflector import Pace

OURS = WatchOptions("node-1", "off")
SHORT_STREAMS = Pace(silence=20.0, list_silence=10.0, stream=1.0, spread=0.0, scale=0.02)
LEEWAY_SECONDS = 60  # that the server grants to a token's times


def make_running(writer: ClusterWriter, namespace: str, name: str, address: str) -> None:
    writer.add_pod(namespace, name)
    writer.place_pod(namespace, name, "node-1")
    writer.run_pod(namespace, name, address)


def test_what_happened_while_etcd_forgot_is_known_after_a_real_410(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    make_running(writer, namespace, "goes", "10.1.0.1")
    make_running(writer, namespace, "stays", "10.1.0.2")
    with cuttable_wire(server.ports[0]) as wire, watching_by(access_by(account, wire.port), OURS) as watching:
        wait_for(watching.synced)
        wire.cut()
        writer.remove_pod(namespace, "goes")
        writer.run_pod(namespace, "stays", "10.1.0.3")
        make_running(writer, namespace, "comes", "10.1.0.1")
        server.stop()
        server.compact()
        server.start()
        wait_for(lambda: wire.refused and watching.status().state is WatchState.RETRYING)
        assert watching.sink.named("goes"), "names stay while the server is away"
        wire.mend()
        wait_for(lambda: known_pods(watching.sink) == told_pods(writer, "node-1"))
        wait_for(watching.synced)
        assert watching.status().relists == {"gone": 1}
        assert watching.status().requests["gone"] == 1


def test_what_a_restored_etcd_says_is_so_although_its_versions_went_back(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    """A watch from our version, which is in the server's future, begins well and says nothing."""
    make_running(writer, namespace, "stays", "10.1.0.1")
    make_running(writer, namespace, "goes", "10.1.0.2")
    server.save_etcd()
    writer.remove_pod(namespace, "goes")
    for number in range(20):
        make_running(writer, namespace, f"never-was-{number}", f"10.1.1.{number}")
    with watching_by(access_by(account, server.ports[0]), OURS) as watching:
        wait_for(watching.synced)
        assert watching.sink.named("goes") is None
        server.stop()
        server.restore_etcd()
        server.start()
        wait_for(lambda: known_pods(watching.sink) == told_pods(writer, "node-1"))
        assert watching.sink.named("goes")
        assert watching.sink.named("never-was-0") is None
        assert watching.status().relists == {"rewound": 1}
        make_running(writer, namespace, "afterwards", "10.1.0.3")
        wait_for(lambda: watching.sink.named("afterwards"))
        assert watching.status().relists == {"rewound": 1}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_restarts_is_found_again(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str, how: signal.Signals
) -> None:
    make_running(writer, namespace, "before", "10.1.0.1")
    with watching_by(access_by(account, server.ports[0]), WatchOptions("node-1", "pods")) as watching:
        wait_for(watching.synced)
        server.stop(how)
        wait_for(lambda: "cannot be reached" in watching.status().cause)
        assert watching.status().state is WatchState.RETRYING
        server.start()
        make_running(writer, namespace, "after", "10.1.0.2")
        wait_for(lambda: known_pods(watching.sink) == told_pods(writer))
        wait_for(watching.synced)


def test_a_cut_wire_is_mended_without_a_list(writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str) -> None:
    make_running(writer, namespace, "before", "10.1.0.1")
    with cuttable_wire(server.ports[0]) as wire, watching_by(access_by(account, wire.port), OURS) as watching:
        wait_for(watching.synced)
        wire.cut()
        make_running(writer, namespace, "meanwhile", "10.1.0.2")
        writer.remove_pod(namespace, "before")
        wait_for(lambda: wire.refused)
        wire.mend()
        wait_for(lambda: known_pods(watching.sink) == told_pods(writer, "node-1"))
        assert watching.status().relists == {}


@pytest.mark.only_on("kube-apiserver")
def test_rights_that_are_taken_are_named_and_used_again_when_they_are_back(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    with watching_by(access_by(account, server.ports[0]), OURS, SHORT_STREAMS) as watching:
        wait_for(watching.synced)
        writer.ask("DELETE", BINDING)
        try:
            wait_for(lambda: watching.status().state is WatchState.REFUSED)
            assert "system:serviceaccount:honeyguide:honeyguide" in watching.status().cause
            assert "ClusterRole" in watching.status().remedy
            make_running(writer, namespace, "meanwhile", "10.1.0.1")
        finally:
            writer.give_rights()
        wait_for(lambda: watching.sink.named("meanwhile"))
        wait_for(watching.synced)


@pytest.mark.only_on("kube-apiserver")
def test_an_expired_token_is_replaced_by_the_one_in_the_file(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    (account / "token").write_text(shortened(server, writer.new_token(), seconds=6))
    with watching_by(access_by(account, server.ports[0]), OURS, SHORT_STREAMS) as watching:
        wait_for(watching.synced)
        wait_for(lambda: watching.status().requests.get("unauthenticated", 0), 60)
        assert "service account's token" in watching.status().remedy
        (account / "token").write_text(writer.new_token())
        make_running(writer, namespace, "later", "10.1.0.1")
        wait_for(lambda: watching.sink.named("later"))
        wait_for(watching.synced)
        assert watching.status().relists == {}


@pytest.mark.only_on("kube-apiserver")
def test_a_token_that_went_with_its_pod_is_refused_and_the_next_one_taken(
    writer: ClusterWriter, server: RealApiServer, account: Path, namespace: str
) -> None:
    """As kubelets ask for them; the server checks that the pod is still there."""
    agents = writer.add_pod("honeyguide", f"agent-{namespace}", account="honeyguide")
    (account / "token").write_text(writer.new_token(pod=agents))
    with watching_by(access_by(account, server.ports[0]), OURS, SHORT_STREAMS) as watching:
        wait_for(watching.synced)
        writer.remove_pod("honeyguide", f"agent-{namespace}")
        wait_for(lambda: watching.status().requests.get("unauthenticated", 0), 60)
        (account / "token").write_text(writer.new_token())
        make_running(writer, namespace, "later", "10.1.0.1")
        wait_for(lambda: watching.sink.named("later"))


def shortened(server: RealApiServer, token: str, seconds: float) -> str:
    """The server's own token with another end, signed with its key: it makes none that lives for less than ten minutes."""
    head, body, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims |= {"exp": int(time.time() + seconds - LEEWAY_SECONDS), "iat": int(time.time()) - 600, "nbf": int(time.time()) - 600}
    signed = f"{head}.{encode(json.dumps(claims).encode())}"
    command = ["openssl", "dgst", "-sha256", "-sign", str(server.service_account_key)]
    made = subprocess.run(command, input=signed.encode(), capture_output=True, check=True)
    return f"{signed}.{encode(made.stdout)}"


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def test_another_authority_is_not_trusted_and_the_token_not_sent(
    writer: ClusterWriter, server: RealApiServer, account: Path, tmp_path: Path
) -> None:
    right = (account / "ca.crt").read_bytes()
    (account / "ca.crt").write_bytes(make_certificates(tmp_path / "others").authority.read_bytes())
    with watching_by(access_by(account, server.ports[0]), OURS) as watching:
        wait_for(lambda: watching.status().requests.get("tls", 0))
        assert "certificate authority" in watching.status().remedy
        assert set(watching.status().requests) == {"tls"}
        (account / "ca.crt").write_bytes(right)
        wait_for(watching.synced)


@pytest.mark.only_on("kube-apiserver")
def test_the_doctor_finds_everything_allowed_that_this_server_has(
    server: RealApiServer, writer: ClusterWriter, account: Path
) -> None:
    trials = try_permissions(access_by(account, server.ports[0]), "node-1", "services")
    assert [one.subject for one in trials if one.cause] == ["list endpointslices", "watch endpointslices"]
    assert {one.subject for one in trials} >= {"list pods", "watch pods", "get replicasets", "get jobs"}


@pytest.mark.only_on("kube-apiserver")
def test_the_doctor_names_each_right_that_is_missing(server: RealApiServer, writer: ClusterWriter, account: Path) -> None:
    writer.ask("DELETE", BINDING)
    try:
        wait_for(lambda: refused(server, account))
        assert {"list pods", "watch pods", "get replicasets", "get jobs"} <= refused(server, account)
    finally:
        writer.give_rights()
    wait_for(lambda: not refused(server, account))


def refused(server: RealApiServer, account: Path) -> set[str]:
    trials = try_permissions(access_by(account, server.ports[0]), "node-1", "services")
    return {one.subject for one in trials if "403" in one.cause}
