"""Who something belongs to. A number until it leaves the process; the names behind it may come late."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class WorkloadKind(enum.Enum):
    POD = "pod"  # a container of a Kubernetes pod
    CONTAINER = "container"  # a container without Kubernetes
    UNIT = "unit"  # a systemd unit
    PROCESS = "process"  # nothing groups it but its program
    NAME = "name"  # a remote address known by the DNS name that led to it
    NETWORK = "network"  # a remote address known only by its CIDR class
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Workload:
    """number is the identity (an index, never reused while the agent runs); everything else may be filled later.

    name: what a person would call it: unit, program, DNS name, network class; for a container its image or short id,
    for a pod its name once Kubernetes told it, until then the pod UID.
    """

    number: int
    kind: WorkloadKind
    name: str
    namespace: str = ""
    pod_uid: str = ""
    container_id: str = ""
    cgroup_path: str = ""

    def attributes(self) -> dict[str, str]:
        """OpenTelemetry resource attributes; empty ones are left out."""
        named = {
            "service.name": self.name,
            "service.namespace": self.namespace,
            "honeyguide.workload.kind": self.kind.value,
            "k8s.pod.uid": self.pod_uid,
            "container.id": self.container_id,
        }
        return {key: value for key, value in named.items() if value}

    def peer_attributes(self) -> dict[str, str]:
        """The same seen from the other side of a connection."""
        named = {"service.peer.name": self.name, "service.peer.namespace": self.namespace}
        return {key: value for key, value in named.items() if value}


UNKNOWN = 0  # the number of the workload that stands for "could not be known"
