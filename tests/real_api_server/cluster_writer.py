"""What administrators, controllers, schedulers and kubelets write, sent to a real API server; and what kubectl reads there."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from cluster_objects import container_of
from real_api_server import ACCOUNT_TOKEN, ADMIN_TOKEN, RealApiServer

from collector.kubernetes.access import ApiAccess, in_cluster

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy/kubernetes"
RIGHTS = ("namespace", "serviceaccount", "clusterrole", "clusterrolebinding")
OURS = "/api/v1/namespaces/honeyguide/serviceaccounts/honeyguide"
BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/honeyguide"
MERGE = {"Content-Type": "application/merge-patch+json"}
Object = dict[str, Any]


@dataclass
class ClusterWriter:
    """As the administrator. Objects are returned as the server made them."""

    server: RealApiServer
    client: httpx.Client = field(init=False)
    serial: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        trusted = ssl.create_default_context(cafile=str(self.server.certificates.authority))
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        self.client = httpx.Client(base_url=self.server.address, verify=trusted, headers=headers, timeout=60)

    def ask(self, method: str, path: str, body: Object | None = None, **more: Any) -> Object:
        """AssertionError with the server's words for what it refuses."""
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        answer = self.client.request(method, path, content=content, headers=headers, **more)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        found: Object = answer.json()
        return found

    def patch(self, path: str, body: Object) -> Object:
        return self.ask("PATCH", path, body, headers=MERGE)

    def delete(self, path: str, grace: int = 0) -> Object:
        return self.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": grace})

    def add_namespace(self, name: str) -> str:
        """With the service account that a controller would make, and which every pod needs."""
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        self.add_account(name)
        return name

    def add_account(self, namespace: str) -> None:
        """That of pods which name none."""
        account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
        self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)

    def add_node(self, name: str, address: str) -> Object:
        made = self.ask("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
        return self.patch(f"/api/v1/nodes/{name}/status", {"status": {"addresses": addresses}}) | {"uid": made["metadata"]["uid"]}

    def add_static_pod(self, namespace: str, name: str, node: str, uid: str) -> Object:
        """The stand-in of one that its kubelet made by itself; uid: that in its cgroup."""
        metadata = {"name": name, "annotations": {"kubernetes.io/config.mirror": uid}}
        spec = {"containers": [{"name": "app", "image": "x"}], "nodeName": node, "automountServiceAccountToken": False}
        return self.ask("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": metadata, "spec": spec})

    def add_pod(self, namespace: str, name: str, owner: Object | None = None, account: str = "default") -> Object:
        """Nobody has placed it yet."""
        owners = {} if owner is None else {"ownerReferences": [reference_to(owner)]}
        metadata = {"name": name, "labels": {"app": "test"}, **owners}
        containers = [{"name": "app", "image": "registry.example/app:1.2.3"}]
        spec = {"containers": containers, "terminationGracePeriodSeconds": 5, "serviceAccountName": account}
        return self.ask("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": metadata, "spec": spec})

    def place_pod(self, namespace: str, name: str, node: str) -> None:
        """As the scheduler does."""
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {"metadata": {"name": name}, "target": target}
        self.ask("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", binding)

    def run_pod(self, namespace: str, name: str, address: str, restarts: int = 0, **status: Any) -> Object:
        """As the kubelet tells of it."""
        return self._tell(namespace, name, {"phase": "Running", **self._running(namespace, name, address, restarts), **status})

    def end_pod(self, namespace: str, name: str) -> Object:
        """It came to its end; the object stays."""
        return self._tell(namespace, name, {"phase": "Succeeded"})

    def _tell(self, namespace: str, name: str, status: Object) -> Object:
        return self.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": status})

    @staticmethod
    def _running(namespace: str, name: str, address: str, restarts: int) -> Object:
        image = "registry.example/app:1.2.3"
        container = {
            "name": "app", "image": image, "imageID": f"{image}@sha256:{'5e' * 32}", "ready": True, "restartCount": restarts,
            "containerID": f"containerd://{container_of(namespace, name, restarts or 'app')}", "state": {"running": {}},
        }  # fmt: skip
        addresses = {"hostIP": "192.0.2.1", "podIP": address, "podIPs": [{"ip": address}]}
        return {**addresses, "startTime": "2026-11-20T10:00:00Z", "containerStatuses": [container]}

    def remove_pod(self, namespace: str, name: str, grace: int = 0) -> None:
        """grace: seconds; then it is only marked, until its kubelet says that it is over (grace 0)."""
        self.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", grace)

    def add_deployment(self, namespace: str, name: str, template_hash: str = "6d4cf56db6") -> tuple[Object, Object]:
        """With its ReplicaSet."""
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "x"}]}}
        spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
        prefix = f"/apis/apps/v1/namespaces/{namespace}"
        deployment = self.ask("POST", f"{prefix}/deployments", {"metadata": {"name": name}, "spec": spec})
        metadata = {"name": f"{name}-{template_hash}", "ownerReferences": [reference_to(deployment)]}
        return deployment, self.ask("POST", f"{prefix}/replicasets", {"metadata": metadata, "spec": spec})

    def add_service(self, namespace: str, name: str, **spec: Any) -> Object:
        body = {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec}}
        return self.ask("POST", f"/api/v1/namespaces/{namespace}/services", body)

    def put_slice(self, namespace: str, service: str, *pods: Object) -> None:
        """As the endpoint slice controller writes it, anew each time. pods: as the server told of them, with an address."""
        prefix, name = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", f"{service}-abcde"
        metadata = {"name": name, "labels": {"kubernetes.io/service-name": service}}
        ports = [{"name": "", "port": 8080, "protocol": "TCP"}]
        body = {"metadata": metadata, "addressType": "IPv4", "endpoints": [endpoint_of(pod) for pod in pods], "ports": ports}
        there = self.client.get(f"{prefix}/{name}").status_code == 200
        self.ask("PUT" if there else "POST", f"{prefix}/{name}" if there else prefix, body)

    def new_token(self, seconds: int = 600, pod: Object | None = None) -> str:
        """A token of our service account, as the kubelet asks for it; pod: whom it serves, and with whom it ends."""
        if not self.server.program.whole:
            return ACCOUNT_TOKEN
        spec: Object = {"expirationSeconds": seconds}
        if pod is not None:
            metadata = pod["metadata"]
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        token: str = self.ask("POST", f"{OURS}/token", {"spec": spec})["status"]["token"]
        return token

    def give_rights(self) -> None:
        """What `kubectl apply` makes of our manifests; where there is no RBAC, our namespace."""
        if not self.server.program.whole:
            self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "honeyguide"}})
            return
        for name in RIGHTS:
            namespaced = ["-n", "honeyguide"] if name == "serviceaccount" else []
            self.kubectl("apply", *namespaced, "-f", str(MANIFESTS / f"{name}.yaml"))

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        options = [f"--kubeconfig={self.kubeconfig(ADMIN_TOKEN, 'admin')}", f"--cache-dir={self.server.folder}/kubectl"]
        done = subprocess.run(["kubectl", *options, *words], capture_output=True, text=True, check=False, input=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def listed(self, *words: str) -> list[Object]:
        """What `kubectl get` finds."""
        found: list[Object] = json.loads(self.kubectl("get", *words, "-o", "json"))["items"]
        return found

    def kubeconfig(self, token: str, name: str = "honeyguide") -> Path:
        path = self.server.folder / f"{name}.kubeconfig"
        cluster = {"server": self.server.address, "certificate-authority": str(self.server.certificates.authority)}
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "real", "cluster": cluster}], "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "real", "user": name}}],
        }  # fmt: skip
        path.write_text(json.dumps(content))
        return path

    def mounted_account(self, folder: Path, token: str = "") -> Path:
        """The folder that Kubernetes mounts into our pods."""
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(token or self.new_token())
        (folder / "ca.crt").write_bytes(self.server.certificates.authority.read_bytes())
        return folder


def access_by(account: Path, port: int) -> ApiAccess:
    """As the agent finds it in a pod."""
    found = in_cluster({"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}, account)
    assert found is not None
    return found


def endpoint_of(pod: Object) -> Object:
    metadata = pod["metadata"]
    target = {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
    addresses = {"addresses": [pod["status"]["podIP"]], "nodeName": pod["spec"]["nodeName"]}
    return {**addresses, "conditions": {"ready": True}, "targetRef": target}


def reference_to(made: Object) -> Object:
    metadata = made["metadata"]
    kind = {"apiVersion": made["apiVersion"], "kind": made["kind"], "controller": True, "blockOwnerDeletion": True}
    return {**kind, "name": metadata["name"], "uid": metadata["uid"]}


@contextmanager
def writing_to(server: RealApiServer) -> Iterator[ClusterWriter]:
    writer = ClusterWriter(server)
    with writer.client:
        yield writer
