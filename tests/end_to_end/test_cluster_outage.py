"""The API server is away when the agent starts, comes back, and goes again: names come late, but they come, and they stay."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from api_server_double import ApiServerDouble, api_server_double
from api_server_faults import refuse
from cluster_objects import container_of, owner, pod, replica_set, uid_of
from otlp_receiver import wait_for
from started_agent import RunningAgent

from collector.source.cgroup_files import find_cgroup2

pytestmark = pytest.mark.end_to_end

NAME, NAMESPACE = "web-6d4-abcde", "outage"
UID, CONTAINER = uid_of("Pod", NAMESPACE, NAME), container_of(NAMESPACE, NAME, "app")
# Joins the cgroup named first, then makes as many connections to the port as it is told, one line each.
IN_POD = """
import os, pathlib, socket, sys
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
for line in sys.stdin:
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as connection:
        connection.sendall(b"hello")
        connection.recv(1)
    print("done", flush=True)
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """As the kubelet names that of a container."""
    mounts = [Path(place) for top, place in find_cgroup2(Path("/proc/self/mountinfo").read_text()) if not top]
    if not mounts or not os.access(mounts[0], os.W_OK):
        pytest.skip("no writable cgroup v2 hierarchy")
    place = mounts[0] / f"kubepods/burstable/pod{UID}/{CONTAINER}"
    place.mkdir(parents=True)
    yield place
    wait_for(lambda: not (place / "cgroup.procs").read_text())
    place.rmdir()
    for folder in place.parents[:3]:
        with suppress(OSError):  # another test's pods
            folder.rmdir()


class Talker:
    """A process of the pod, and whom it talks to."""

    def __init__(self, cgroup: Path) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        command = [sys.executable, "-c", IN_POD, str(cgroup), str(self.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def connect(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(b"now\n")
        self.process.stdin.flush()
        connection, _ = self.listener.accept()
        connection.recv(16)
        connection.close()
        assert self.process.stdout.readline() == b"done\n"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.listener.close()


@contextmanager
def talking(cgroup: Path) -> Iterator[Talker]:
    talker = Talker(cgroup)
    try:
        yield talker
    finally:
        talker.close()


def away(cluster: ApiServerDouble) -> None:
    """Requests get 503, and streams that run are cut."""
    cluster.misbehave(refuse("", 503, times=10_000))
    for resource in cluster.store.objects:
        cluster.interrupt(resource, "cut")


def flows_of(agent: RunningAgent, port: int, count: int, name: str | None) -> list[tuple[str | None, str | None]]:
    """(pod, its UID) of the clients' rows, once there are as many with that name."""
    answer = agent.wait_until(
        f"/api/v1/flows?port={port}&role=client&state=closed",
        lambda answer: sum(flow["local_pod"] == name for flow in answer["flows"]) >= count,
    )
    return [(flow["local_pod"], flow["local_pod_uid"]) for flow in answer["flows"]]


def test_what_was_recorded_without_the_api_server_is_named_when_it_comes_and_stays_named_when_it_goes(
    start_agent: Callable[..., RunningAgent], tmp_path: Path, cgroup: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    with api_server_double(tmp_path) as cluster, talking(cgroup) as talker:
        cluster.put("replicasets", replica_set("web-6d4", "web", NAMESPACE))
        made_by = owner("ReplicaSet", "web-6d4", uid_of("ReplicaSet", NAMESPACE, "web-6d4"))
        cluster.put("pods", pod(NAME, namespace=NAMESPACE, addresses=("10.1.0.9",), owned_by=made_by))
        away(cluster)
        agent = start_agent("--kubeconfig", str(cluster.kubeconfig), "--node-name", "node-1")
        talker.connect()
        assert flows_of(agent, talker.port, 1, None) == [(None, UID)], "the cgroup alone knows the UID"
        health = agent.wait_until("/api/v1/health", lambda health: health["state"] == "degraded")
        assert any("503" in reason for reason in health["reasons"])

        cluster.faults.clear()
        assert flows_of(agent, talker.port, 1, NAME) == [(NAME, UID)]
        workloads = agent.wait_until(
            f"/api/v1/workloads?namespace={NAMESPACE}", lambda found: any(one["name"] == "web" for one in found["workloads"])
        )["workloads"]
        assert [one["name"] for one in workloads] == ["web"]

        away(cluster)
        talker.connect()
        assert flows_of(agent, talker.port, 2, NAME) == [(NAME, UID)] * 2
        assert agent.stop() == 0
