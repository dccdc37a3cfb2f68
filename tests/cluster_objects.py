"""Kubernetes objects in the shapes and sizes that API servers send: what an agent uses, among much that it does not."""

from __future__ import annotations

import uuid
from typing import Any

from cluster_store import Object

WHEN = "2026-11-20T10:00:00Z"
SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def uid_of(*words: object) -> str:
    """The same words give the same UID."""
    return str(uuid.uuid5(SPACE, "/".join(map(str, words))))


def container_of(*words: object) -> str:
    """64 hex digits, as runtimes name containers."""
    return (uuid.uuid5(SPACE, "/".join(map(str, words))).hex * 2)[:64]


def managed_fields(*managers: str) -> list[Object]:
    """About as long as real ones: often half of an object."""
    fields = {f"f:field{number}": {".": {}, f'k:{{"type":"{number}"}}': {"f:status": {}}} for number in range(12)}
    return [
        {
            "manager": manager,
            "operation": "Update",
            "apiVersion": "v1",
            "time": WHEN,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        for manager in managers
    ]


def owner(kind: str, name: str, uid: str = "") -> Object:
    api = {"ReplicaSet": "apps/v1", "Deployment": "apps/v1", "DaemonSet": "apps/v1", "StatefulSet": "apps/v1"}
    version = api.get(kind, "v1" if kind == "Node" else "batch/v1")
    return {
        "apiVersion": version, "kind": kind, "name": name, "uid": uid or uid_of(kind, name),
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def metadata(kind: str, name: str, namespace: str = "", **more: Any) -> Object:
    placed = {"namespace": namespace} if namespace else {}
    return {
        "name": name, **placed, "uid": uid_of(kind, namespace, name), "creationTimestamp": WHEN,
        "managedFields": managed_fields("kube-controller-manager", "kubelet"), **more,
    }  # fmt: skip


def container_status(container: str, identifier: str, restarts: int = 0) -> Object:
    return {
        "name": container, "state": {"running": {"startedAt": WHEN}}, "lastState": {}, "ready": True, "restartCount": restarts,
        "image": "registry.example/team/service:1.2.3", "imageID": f"registry.example/team/service@sha256:{'5e' * 32}",
        "containerID": f"containerd://{identifier}" if identifier else "", "started": True,
    }  # fmt: skip


def container_spec(name: str) -> Object:
    return {
        "name": name, "image": "registry.example/team/service:1.2.3", "imagePullPolicy": "IfNotPresent",
        "env": [{"name": f"SETTING_{number}", "value": "some value of usual length"} for number in range(12)],
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [{"name": "kube-api-access-x7k2p", "readOnly": True, "mountPath": "/var/run/secrets/token"}],
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    }  # fmt: skip


def pod(
    name: str,
    *,
    namespace: str = "default",
    node: str = "node-1",
    addresses: tuple[str, ...] = ("10.1.0.2",),
    owned_by: Object | None = None,
    containers: tuple[str, ...] = ("app",),
    phase: str = "Running",
    **more: Any,
) -> Object:
    """more: labels, annotations, uid; host_network, init_containers, ephemeral_containers (names)."""
    meta = metadata("Pod", name, namespace, labels=more.get("labels", {"app": name}), annotations=more.get("annotations", {}))
    meta |= {"uid": more["uid"]} if "uid" in more else {}
    meta |= {"ownerReferences": [owned_by]} if owned_by else {}
    init, ephemeral = more.get("init_containers", ()), more.get("ephemeral_containers", ())
    spec: Object = {"containers": [container_spec(one) for one in containers], "restartPolicy": "Always", "schedulerName": "x"}
    spec |= {"nodeName": node} if node else {}
    spec |= {"hostNetwork": True} if more.get("host_network") else {}
    spec |= {"initContainers": [container_spec(one) for one in init]} if init else {}
    conditions = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    status: Object = {
        "phase": phase,
        "conditions": [{"type": one, "status": "True", "lastProbeTime": None, "lastTransitionTime": WHEN} for one in conditions],
    }
    if addresses:
        status |= {"hostIP": "192.0.2.1", "podIP": addresses[0], "podIPs": [{"ip": one} for one in addresses], "startTime": WHEN}
    named = {"containerStatuses": containers, "initContainerStatuses": init, "ephemeralContainerStatuses": ephemeral}
    for field, names in named.items():
        if names:
            status[field] = [container_status(one, container_of(namespace, name, one)) for one in names]
    return {"metadata": meta, "spec": spec, "status": status}


def service(
    name: str, namespace: str = "default", address: str = "10.96.0.10", ports: tuple[int, ...] = (80,), **spec: Any
) -> Object:
    listed = [{"name": f"port-{port}", "protocol": "TCP", "port": port, "targetPort": port} for port in ports]
    addresses = {"clusterIP": address, "clusterIPs": [address]} if address else {}
    chosen = {"type": "ClusterIP", "sessionAffinity": "None", "selector": {"app": name}, "ports": listed, **addresses, **spec}
    return {
        "metadata": metadata("Service", name, namespace, labels={"app": name}),
        "spec": chosen,
        "status": {"loadBalancer": {}},
    }


def endpoint(address: str, pod_name: str, namespace: str = "default", node: str = "node-1") -> Object:
    target = {"kind": "Pod", "namespace": namespace, "name": pod_name, "uid": uid_of("Pod", namespace, pod_name)}
    conditions = {"ready": True, "serving": True, "terminating": False}
    return {"addresses": [address], "conditions": conditions, "nodeName": node, "targetRef": target}


def endpoint_slice(name: str, service_name: str, endpoints: list[Object], namespace: str = "default", port: int = 8080) -> Object:
    labels = {
        "kubernetes.io/service-name": service_name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    ports = [{"name": f"port-{port}", "port": port, "protocol": "TCP"}]
    meta = metadata("EndpointSlice", name, namespace, labels=labels, ownerReferences=[owner("Service", service_name)])
    return {"metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}


def node(name: str, *addresses: str) -> Object:
    """With the images that a kubelet lists: most of a node object."""
    images = [
        {"names": [f"registry.example/image-{number}@sha256:{'a1' * 32}", f"registry.example/image-{number}:1.0"], "sizeBytes": 9}
        for number in range(50)
    ]
    listed = [{"type": "InternalIP", "address": address} for address in addresses] + [{"type": "Hostname", "address": name}]
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "a"}
    status = {"addresses": listed, "images": images, "nodeInfo": {"kubeletVersion": "v1.34.1", "osImage": "Linux"}}
    return {"metadata": metadata("Node", name, labels=labels), "spec": {"podCIDR": "10.1.0.0/24"}, "status": status}


def replica_set(name: str, deployment: str, namespace: str = "default") -> Object:
    meta = metadata("ReplicaSet", name, namespace, ownerReferences=[owner("Deployment", deployment)])
    return {"metadata": meta, "spec": {"replicas": 1}, "status": {"replicas": 1}}


def job(name: str, cron_job: str, namespace: str = "default") -> Object:
    return {"metadata": metadata("Job", name, namespace, ownerReferences=[owner("CronJob", cron_job)]), "spec": {}, "status": {}}
