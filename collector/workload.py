"""Who something belongs to. A number until it leaves the process; the names behind it may come late."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class WorkloadKind(enum.Enum):
    POD = "pod"  # a container of a Kubernetes pod
    CONTAINER = "container"  # a container without Kubernetes
    UNIT = "unit"  # a systemd unit
    PROCESS = "process"  # nothing groups it but its program
    SERVICE = "service"  # a Kubernetes service, known by an address that stands for all behind it
    NODE = "node"  # a machine of the cluster, known by its address
    ADDRESS = "address"  # a remote address that several services share: which of them is meant cannot be known
    NAME = "name"  # a remote address known by the DNS name that led to it
    NETWORK = "network"  # a remote address known only by its CIDR class
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Workload:
    """number is the identity (an index, never reused while the agent runs); everything else may be filled later.

    name: what a person would call it: unit, program, DNS name, network class; for a container its image or short id,
    for a pod its service name once Kubernetes told it, until then the pod UID.
    facts: OpenTelemetry attributes that a cluster or a container runtime told; the same mapping may serve several workloads.
    """

    number: int
    kind: WorkloadKind
    name: str
    namespace: str = ""
    pod_uid: str = ""
    container_id: str = ""
    cgroup_path: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def pod_name(self) -> str:
        """'' for what is no pod, and while its name is not known."""
        return self.facts.get("k8s.pod.name", "")

    @property
    def container_name(self) -> str:
        """As the pod's specification or the container's user calls it; '' while that is not known."""
        return self.facts.get("k8s.container.name") or self.facts.get("container.name", "")

    def attributes(self) -> dict[str, str]:
        """OpenTelemetry resource attributes; empty ones are left out. What the facts say comes before what the kernel says."""
        named = {
            "service.name": self.name,
            "service.namespace": self.namespace,
            "honeyguide.workload.kind": self.kind.value,
            "k8s.pod.uid": self.pod_uid,
            "container.id": self.container_id,
            **self.facts,
        }
        return {key: value for key, value in named.items() if value}

    def peer_attributes(self) -> dict[str, str]:
        """The same seen from the other side of a connection."""
        named = {"service.peer.name": self.name, "service.peer.namespace": self.namespace}
        return {key: value for key, value in named.items() if value}


UNKNOWN = 0  # the number of the workload that stands for "could not be known"
