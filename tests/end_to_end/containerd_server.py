"""A containerd of a test's own: its folders, its address, an image made here, containers by `ctr` and pods by its CRI plugin.

Its state is where containerd's always is, so that the agent finds it: none other may run on this machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cri_message import pack_message, read_first_text
from patience import PATIENCE_SECONDS

STATE = Path("/run/containerd")
PROGRAMS = ("containerd", "ctr", "runc", "busybox")
NAMESPACE = "honeyguide-tests"  # of containerd; also the parent of its containers' cgroups
IMAGE = "localhost/honeyguide-busybox:1"
# Without AppArmor, overlay mounts and the right to lower a process's badness: the most that any host asks for.
SETTINGS = """
version = 2
root = "{folder}/root"
state = "{state}"
[grpc]
address = "{folder}/socket"
[ttrpc]
address = "{folder}/socket.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"""
ON_NODE = {1: 2, 2: 2, 3: 2}  # namespaces of network, processes and IPC: NODE


def missing_for_containerd() -> str:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return f"{STATE} is there: another containerd may run on this machine" if STATE.exists() else ""


class Containerd:
    """Runs from construction until `close`; RuntimeError says what it did not like."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "settings.toml").write_text(SETTINGS.format(folder=folder, state=STATE, image=IMAGE))
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(["containerd", "-c", folder / "settings.toml"], stdout=log, stderr=log)
        self._pods: list[str] = []
        try:
            self._wait()
            write_image(folder / "image.tar")
            for namespace in (NAMESPACE, "k8s.io"):
                words = ("images", "import", "--snapshotter", "native", "--base-name", IMAGE.rpartition(":")[0])
                self.ctr(*words, str(folder / "image.tar"), namespace=namespace)
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "successfully booted" not in (said := (self._folder / "log").read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"containerd did not start: {said[-500:]}")
            time.sleep(0.05)

    def ctr(self, *words: str, namespace: str = NAMESPACE) -> str:
        command = ["ctr", "--address", f"{self._folder}/socket", "--namespace", namespace, *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"ctr {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def run(self, identifier: str, annotations: Mapping[str, str], *command: str) -> None:
        """A container in the host's network, in the background."""
        told = [word for name, value in annotations.items() for word in ("--annotation", f"{name}={value}")]
        self.ctr("run", "--detach", "--snapshotter", "native", "--net-host", *told, IMAGE, identifier, *command)

    def run_pod(self, name: str, namespace: str, uid: str, container: str, command: Sequence[str]) -> None:
        """As a kubelet asks for it: a sandbox in the host's network and one container in it."""
        pod = {1: {1: name, 2: uid, 3: namespace}, 3: f"{self._folder}/logs"}
        pod[8] = {1: f"/kubepods/burstable/pod{uid}", 2: {1: ON_NODE}}  # type: ignore[assignment]
        sandbox = self._ask("RunPodSandbox", {1: pod})
        self._pods.append(sandbox)
        wanted = {1: {1: container}, 2: {1: IMAGE}, 3: list(command), 15: {2: {3: ON_NODE}}}
        self._ask("StartContainer", {1: self._ask("CreateContainer", {1: sandbox, 2: wanted, 3: pod})})

    def _ask(self, method: str, message: Mapping[int, Any]) -> str:
        """The identifier that the answer begins with, or ''."""
        import grpc  # noqa: PLC0415 -- not everywhere

        with grpc.insecure_channel(f"unix://{self._folder}/socket") as channel:
            call = channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
            return read_first_text(call(pack_message(message), timeout=60))

    def close(self) -> None:
        """Ends all containers, then containerd."""
        try:
            for pod in self._pods:
                self._ask("StopPodSandbox", {1: pod})
                self._ask("RemovePodSandbox", {1: pod})
            if self._process.poll() is None:
                for identifier in self.ctr("containers", "ls", "--quiet").split():
                    self._remove(identifier)
        finally:
            self._process.terminate()
            self._process.wait(PATIENCE_SECONDS)

    def _remove(self, identifier: str) -> None:
        self.ctr("tasks", "kill", "--signal", "KILL", identifier)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while f"{identifier} " in self.ctr("tasks", "ls"):
            try:
                self.ctr("tasks", "rm", identifier)
            except RuntimeError as error:  # says so also when it gives the status of a killed one
                assert time.monotonic() < deadline, error
                time.sleep(0.05)
        self.ctr("containers", "rm", identifier)


def write_image(target: Path, seconds: int = 600) -> None:
    """An OCI image of one layer, which holds busybox; of itself it sleeps for so long."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(Path(shutil.which("busybox") or "").resolve(), "bin/busybox")
    content = layer.getvalue()
    kind = "application/vnd.oci.image"
    system = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]}
    command = {"Cmd": ["/bin/busybox", "sleep", str(seconds)]}  # a sandbox runs that
    settings = json.dumps({"architecture": "amd64", "os": "linux", "config": command, "rootfs": system}).encode()
    parts = {"config": describe(f"{kind}.config.v1+json", settings), "layers": [describe(f"{kind}.layer.v1.tar", content)]}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json", **parts}).encode()
    named = describe(f"{kind}.manifest.v1+json", manifest) | {"annotations": {"org.opencontainers.image.ref.name": "1"}}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
    files |= {f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in (content, settings, manifest)}
    with tarfile.open(target, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def describe(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}
