"""What is asked of the API server, for each choice of `kubernetes_peers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from collector.cluster_facts import Fact
from collector.kubernetes.fact_reading import read_node, read_service, read_slice
from collector.kubernetes.pod_reading import PodReader

Peers = Literal["off", "services", "pods"]


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """read: ValueError for what is not such an object. narrow: the answer is short; the API server's cache may give it whole."""

    name: str
    path: str
    read: Callable[[bytes | msgspec.Raw], Fact]
    selector: dict[str, str] = field(default_factory=dict)
    narrow: bool = False


def kinds_to_watch(reader: PodReader, peers: Peers) -> list[ResourceKind]:
    """The one with this node's pods comes first.

    off: this node's pods, chosen by the API server (it keeps an index of spec.nodeName for the kubelets). services: besides
    them who stands behind which service, as kube-proxy asks, and the nodes. pods: all pods of the cluster instead.
    """
    ours = ResourceKind("pods", "/api/v1/pods", reader.read, {"fieldSelector": f"spec.nodeName={reader.node}"}, narrow=True)
    if peers == "off":
        return [ours]
    others = [
        ResourceKind("services", "/api/v1/services", read_service),
        ResourceKind("endpointslices", "/apis/discovery.k8s.io/v1/endpointslices", read_slice),
        ResourceKind("nodes", "/api/v1/nodes", read_node),
    ]
    return [ours if peers == "services" else ResourceKind("pods", "/api/v1/pods", reader.read), *others]
