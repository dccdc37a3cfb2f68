"""A whole Kubernetes cluster of one node: control plane, kubelet with containerd, kube-proxy and a bridge for its pods.

`./test real_cluster` compiles its programs and says where they are.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster_writer import ClusterWriter, writing_to
from containerd_server import IMAGE, SETTINGS, STATE, write_image
from node_room import NAME, NODE_ADDRESS, NodeRoom, node_room, why_no_room
from patience import PATIENCE_SECONDS
from real_api_server import Program, RealApiServer
from throwaway_certificates import make_certificates

VARIABLE = "REAL_CLUSTER"
PROGRAMS = Path(os.environ.get(VARIABLE, "/nonexistent"))
OF_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
OTHERS = ("etcd", "etcdctl", "kubectl", "openssl", "containerd", "ctr", "runc", "busybox", "iptables")
PLUGINS = Path("/usr/lib/cni")  # of the container network, where Debian's package has them
NODE = "node-1"
PODS = "10.244.0.0/16"
SERVICES = "10.96.0.0/16"
PORTS = (6443, 2379, 2380)
USERS = {
    NODE: f"system:node:{NODE},2,system:nodes",
    "controllers": "system:kube-controller-manager,3",
    "scheduler": "system:kube-scheduler,4",
    "proxy": "system:kube-proxy,5",
}
ADDRESSES = {"subnet": "10.244.0.0/24", "rangeStart": "10.244.0.10", "rangeEnd": "10.244.0.27"}  # few: used again soon
BRIDGE = {
    "type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True,
    "ipam": {"type": "host-local", "ranges": [[ADDRESSES]], "routes": [{"dst": "0.0.0.0/0"}]},
}  # fmt: skip
CNI = {"cniVersion": "0.4.0", "name": "pods", "plugins": [BRIDGE]}
NETWORK_SETTINGS = """
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
"""
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}}, "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{NAME}", "failSwapOn": False, "protectKernelDefaults": False,
    "enforceNodeAllocatable": ["pods"], "evictionHard": {"memory.available": "0%"}, "imageGCHighThresholdPercent": 100,
    "resolvConf": "", "fileCheckFrequency": "1s", "syncFrequency": "5s", "nodeStatusUpdateFrequency": "2s",
    "featureGates": {"DevicePlugins": False},
    # a test makes many pods at once
    "kubeAPIQPS": 50, "kubeAPIBurst": 100, "registryPullQPS": 0,
}  # fmt: skip


def why_not() -> str:
    """'' where the tests can run."""
    if not PROGRAMS.is_dir():
        return "needs a whole Kubernetes: ./test real_cluster compiles one (10 to 30 minutes, once) and runs these"
    missing = [name for name in OF_KUBERNETES if not (PROGRAMS / name).exists()]
    missing += [name for name in OTHERS if shutil.which(name) is None]
    if missing or not (PLUGINS / "bridge").exists():
        return f"missing: {', '.join(missing) or 'containernetworking-plugins'}"
    return why_no_room()


class WholeCluster:
    """Started by `whole_cluster`."""

    def __init__(self, room: NodeRoom, server: RealApiServer, writer: ClusterWriter) -> None:
        self.room, self.server, self.writer = room, server, writer
        self.folder = room.folder
        self.manifests = self.folder / "manifests"  # of static pods
        self.truth = self.folder / "truth"  # pods can mount it
        for place in (self.manifests, self.truth, self.folder / "cni"):
            place.mkdir()

    def start(self) -> None:
        """Returns when the node is ready for pods."""
        self._start_containerd()
        self._start_control_plane()
        self._start_node()
        self.wait(
            lambda: any(one["type"] == "Ready" and one["status"] == "True" for one in self._conditions()), "the node is ready"
        )

    def import_image(self, archive: Path, name: str) -> None:
        self.room.run(
            "ctr", "--address", f"{self.folder}/socket", "--namespace", "k8s.io", "images", "import", "--base-name", name, archive
        )

    def wait(self, satisfied: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """What it returned when it was true."""
        deadline = time.monotonic() + seconds
        while not (found := satisfied()):
            assert time.monotonic() < deadline, f"not in {seconds} s: {what}\n{self._said()}"
            time.sleep(0.2)
        return found

    def _start_containerd(self) -> None:
        (self.folder / "cni/10-pods.conflist").write_text(json.dumps(CNI))
        settings = SETTINGS.format(folder=self.folder, state=STATE, image=IMAGE).replace('"native"', '"overlayfs"')
        settings += NETWORK_SETTINGS.format(folder=self.folder, plugins=PLUGINS)
        (self.folder / "containerd.toml").write_text(settings)
        self.room.start("containerd", ["containerd", "-c", self.folder / "containerd.toml"])
        self.wait(lambda: "successfully booted" in (self.folder / "containerd.log").read_text(), "containerd runs")
        write_image(self.folder / "busybox.tar", seconds=10**6)
        self.import_image(self.folder / "busybox.tar", IMAGE.rpartition(":")[0])

    def _start_control_plane(self) -> None:
        key, authority = self.server.service_account_key, self.server.certificates.authority
        self._start(
            "kube-controller-manager", f"--kubeconfig={self._kubeconfig('controllers')}",
            "--use-service-account-credentials=true", f"--service-account-private-key-file={key}",
            f"--root-ca-file={authority}", "--allocate-node-cidrs=true", "--leader-elect=false", "--port=0",
            f"--cluster-cidr={PODS}",
        )  # fmt: skip
        self._start("kube-scheduler", f"--kubeconfig={self._kubeconfig('scheduler')}", "--leader-elect=false", "--port=0")

    def _start_node(self) -> None:
        settings = self.folder / "kubelet.json"
        settings.write_text(json.dumps(KUBELET | {"staticPodPath": str(self.manifests)}))
        runtime = f"unix://{self.folder}/socket"
        self._start(
            "kubelet", f"--kubeconfig={self._kubeconfig(NODE)}", f"--config={settings}", f"--root-dir={self.folder}/kubelet",
            f"--hostname-override={NODE}", f"--node-ip={NODE_ADDRESS}", "--container-runtime=remote",
            f"--container-runtime-endpoint={runtime}", f"--cert-dir={self.folder}/kubelet-certificates",
        )  # fmt: skip
        self._start(
            "kube-proxy", f"--kubeconfig={self._kubeconfig('proxy')}", f"--hostname-override={NODE}", f"--cluster-cidr={PODS}",
            "--proxy-mode=iptables", "--conntrack-max-per-core=0", "--conntrack-min=0", "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0", "--iptables-min-sync-period=100ms",
        )  # fmt: skip

    def _start(self, name: str, *options: str) -> None:
        self.room.start(name, [PROGRAMS / name, *options])

    def _kubeconfig(self, user: str) -> Path:
        return self.writer.kubeconfig(f"token-of-{user}", user)

    def _conditions(self) -> list[dict[str, Any]]:
        return [one for node in self.writer.listed("nodes") for one in node.get("status", {}).get("conditions", ())]

    def _said(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in sorted(self.folder.glob("*.log")))


@contextmanager
def whole_cluster(folder: Path) -> Iterator[WholeCluster]:
    """Running; nothing of it is left at the end. The calling thread is in the node's network meanwhile."""
    first = SERVICES.replace("0.0/16", "0.1")
    names = f"IP:127.0.0.1,IP:{NODE_ADDRESS},IP:{first},DNS:localhost,DNS:kubernetes.default.svc"
    users = [f"token-of-{name},{user}" for name, user in USERS.items()]
    options = {
        "bind-address": "0.0.0.0", "advertise-address": NODE_ADDRESS, "service-cluster-ip-range": SERVICES,
        "authorization-mode": "Node,RBAC", "endpoint-reconciler-type": "lease",
        "kubelet-preferred-address-types": "InternalIP",
    }  # fmt: skip
    program = Program(VARIABLE, whole=True, name="kube-apiserver")
    server = RealApiServer(program, folder, make_certificates(folder / "certificates", names), PORTS, options, users)
    subprocess.run(["openssl", "genrsa", "-out", str(server.service_account_key), "2048"], check=True, capture_output=True)
    with node_room(folder) as room:
        try:
            server.start_etcd()
            server.start()
            with writing_to(server) as writer:
                cluster = WholeCluster(room, server, writer)
                cluster.start()
                yield cluster
        finally:
            server.close()
