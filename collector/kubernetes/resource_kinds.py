"""What is asked of the API server, for each choice of `kubernetes_peers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from collector.cluster_facts import ClusterNode, EndpointSlice, Pod, Service
from collector.kubernetes.fact_reading import read_node, read_service, read_slice
from collector.kubernetes.known_objects import ClusterObject
from collector.kubernetes.pod_reading import PodReader

Peers = Literal["off", "services", "pods"]


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """read: ValueError for what is not such an object. vanished: a fact with nothing but that UID. narrow: the answer is short,
    so that the API server's cache may give it whole.
    """

    name: str
    path: str
    read: Callable[[bytes | msgspec.Raw], ClusterObject]
    vanished: Callable[[str], ClusterObject]
    selector: dict[str, str] = field(default_factory=dict)
    narrow: bool = False


def kinds_to_watch(reader: PodReader, peers: Peers) -> list[ResourceKind]:
    """The one with this node's pods comes first.

    off: this node's pods, chosen by the API server (it keeps an index of spec.nodeName for the kubelets). services: besides
    them who stands behind which service, as kube-proxy asks, and the nodes. pods: all pods of the cluster instead.
    """
    of_this_node = {"fieldSelector": f"spec.nodeName={reader.node}"}
    ours = ResourceKind("pods", "/api/v1/pods", reader.read, gone_pod, of_this_node, narrow=True)
    if peers == "off":
        return [ours]
    others = [
        ResourceKind("services", "/api/v1/services", read_service, gone_service),
        ResourceKind("endpointslices", "/apis/discovery.k8s.io/v1/endpointslices", read_slice, gone_slice),
        ResourceKind("nodes", "/api/v1/nodes", read_node, gone_node),
    ]
    return [ours if peers == "services" else ResourceKind("pods", "/api/v1/pods", reader.read, gone_pod), *others]


def gone_pod(uid: str) -> Pod:
    return Pod(uid, "", "")


def gone_service(uid: str) -> Service:
    return Service(uid, "", "")


def gone_slice(uid: str) -> EndpointSlice:
    return EndpointSlice(uid, "", "", "")


def gone_node(uid: str) -> ClusterNode:
    return ClusterNode(uid, "")
