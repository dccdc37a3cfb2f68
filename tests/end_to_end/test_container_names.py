"""Real containers (podman with runc) are called by their names within seconds, without an API server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from container_leftovers import leftovers, remove_folder, remove_leftovers
from ports import free_port
from served_pod import check_cart_is_named
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

NEEDED = ("podman", "runc", "busybox")
# Without systemd, on a hybrid cgroup hierarchy, and without the right to raise limits: the most that any host asks for.
SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
IMAGE = "localhost/honeyguide-busybox:1"


class Podman:
    """podman with a storage, a state and settings of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "containers.conf").write_text(SETTINGS)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}
        self.options = ["--root", str(folder / "store"), "--runroot", str(folder / "run"), "--tmpdir", str(folder / "tmp")]
        self.folder = folder

    def run(self, *words: str) -> str:
        command = ["podman", *self.options, *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def import_image(self) -> None:
        with tarfile.open(self.folder / "image.tar", "w") as image:
            image.add(Path(shutil.which("busybox") or "").resolve(), "bin/busybox")
        self.run("import", str(self.folder / "image.tar"), IMAGE)


@pytest.fixture
def podman() -> Iterator[Podman]:
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    before = leftovers()
    with ExitStack() as stack:
        stack.callback(remove_leftovers, before)
        folder = Path(tempfile.mkdtemp(prefix="hg-"))  # podman wants a short path
        stack.callback(remove_folder, folder)
        made = Podman(folder)
        try:
            made.import_image()
            made.run("run", "--rm", "--network", "none", IMAGE, "/bin/busybox", "true")
        except AssertionError as error:
            pytest.skip(f"podman cannot run containers here: {error}")
        stack.callback(made.run, "rm", "--all", "--force", "--time", "0")
        yield made


def test_flows_between_containers_carry_their_names(podman: Podman, start_agent: Callable[..., RunningAgent]) -> None:
    port = free_port()
    # One is older than the agent, the other comes later.
    serve = ["/bin/busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/bin"]
    compose = ["--label", "com.docker.compose.project=market", "--label", "com.docker.compose.service=storefront"]
    podman.run("run", "--detach", "--name", "shop", *compose, "--network", "host", IMAGE, *serve)
    agent = start_agent("--probes", "process,tcp", "--snapshot-interval", "1", "--kubernetes-labels", "com.docker.compose.*")
    ask = f"while true; do /bin/busybox wget -q -O /dev/null http://127.0.0.1:{port}/busybox; /bin/busybox sleep 0.2; done"
    podman.run("run", "--detach", "--name", "customer", "--network", "host", IMAGE, "/bin/busybox", "sh", "-c", ask)

    def named(answer: Any) -> bool:
        return {"shop", "customer"} <= {one["name"] for one in answer["workloads"]}

    answer = agent.wait_until("/api/v1/workloads?limit=1000", named)
    found = {one["name"]: one for one in answer["workloads"]}
    assert {"shop", "customer"} <= found.keys(), sorted(found)
    assert {found[name]["kind"] for name in ("shop", "customer")} == {"container"}
    assert found["shop"]["attributes"]["container.label.com.docker.compose.service"] == "storefront"

    def drawn(answer: Any) -> bool:
        return any(edge_of(flow) == ("customer", "shop") for flow in answer["flows"])

    flows = agent.wait_until(f"/api/v1/flows?port={port}&limit=1000", drawn)
    assert ("customer", "shop") in {edge_of(flow) for flow in flows["flows"]}
    assert agent.stop() == 0


def edge_of(flow: dict[str, Any]) -> tuple[str, str]:
    return flow["local_workload"], flow["peer_workload"]


POD_UID = f"{os.getpid():08x}-5f60-4718-8293-a4b5c6d7e8f9"
ANNOTATIONS = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.container-name": "cart",
    "io.kubernetes.cri.image-name": "registry.example/cart:1.4",
    "io.kubernetes.cri.sandbox-name": "cart-7d9c6b5f4-x2x8q",
    "io.kubernetes.cri.sandbox-namespace": "shop",
    "io.kubernetes.cri.sandbox-uid": POD_UID,
}


class PodContainer:
    """A container as containerd's CRI plugin has it made by runc: those annotations, that cgroup."""

    def __init__(self, folder: Path, port: int) -> None:
        self.identifier = f"{os.getpid():064x}"
        self.folder = folder
        (folder / "rootfs/bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", folder / "rootfs/bin/busybox")
        subprocess.run(["runc", "spec", "--bundle", folder], check=True)
        document = json.loads((folder / "config.json").read_text())
        document["process"]["terminal"] = False
        document["process"]["args"] = ["/bin/busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/bin"]
        del document["process"]["rlimits"], document["linux"]["resources"]
        kept = [one for one in document["linux"]["namespaces"] if one["type"] not in {"network", "cgroup"}]
        document["linux"]["namespaces"] = kept
        document["linux"]["cgroupsPath"] = f"/kubepods/burstable/pod{POD_UID}/{self.identifier}"
        document["annotations"] = ANNOTATIONS
        (folder / "config.json").write_text(json.dumps(document))

    def start(self) -> None:
        with (self.folder / "log").open("wb") as log:  # a pipe would stay open as long as the container runs
            done = subprocess.run(
                ["runc", "run", "--detach", "--bundle", self.folder, self.identifier],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, timeout=30,
            )  # fmt: skip
        if done.returncode:
            pytest.skip(f"runc cannot run containers here: {(self.folder / 'log').read_text().strip()}")

    def remove(self) -> None:
        subprocess.run(["runc", "delete", "--force", self.identifier], check=False, capture_output=True)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[tuple[PodContainer, int]]:
    missing = [tool for tool in ("runc", "busybox") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    before = leftovers()
    port = free_port()
    made = PodContainer(tmp_path / "bundle", port)
    try:
        yield made, port
    finally:
        made.remove()
        remove_leftovers(before)


def test_a_pods_container_is_named_without_an_api_server(
    pod: tuple[PodContainer, int], start_agent: Callable[..., RunningAgent]
) -> None:
    container, port = pod
    agent = start_agent("--probes", "process,tcp", "--snapshot-interval", "1", "--kubernetes", "off")
    container.start()

    check_cart_is_named(agent, port, POD_UID)
    assert agent.stop() == 0
