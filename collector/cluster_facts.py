"""What a cluster or a container runtime says of pods, services and nodes: plain data between who learns it and who names with it.

Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Times are unix ns; 0: not known.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class ContainerRole(enum.Enum):
    MAIN = "main"
    INIT = "init"
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True, slots=True)
class Owner:
    """What made a pod or stands for it: Deployment, StatefulSet, DaemonSet, Job, CronJob, ReplicaSet, Node (static pods)."""

    kind: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """identifier: as in the cgroup's path (64 hex digits), without the runtime's prefix; '' before it runs."""

    name: str
    identifier: str
    image: str = ""
    role: ContainerRole = ContainerRole.MAIN
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Pod:
    """owners: from the one that made it (ReplicaSet, Job) to the outermost (Deployment, CronJob). mirror_uid: of a static pod,
    the UID that its cgroup carries. labels, annotations: those that are asked for.
    """

    uid: str
    name: str
    namespace: str
    node: str = ""
    addresses: tuple[bytes, ...] = ()
    host_network: bool = False
    owners: tuple[Owner, ...] = ()
    containers: tuple[Container, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    started_at: int = 0
    finished: bool = False
    mirror_uid: str = ""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """protocol: tcp, udp or sctp. node_port: 0 for none."""

    protocol: str
    port: int
    node_port: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """cluster_addresses: empty for headless and ExternalName. external_addresses: load balancers' and externalIPs, which several
    services may share."""

    uid: str
    name: str
    namespace: str
    kind: str = "ClusterIP"
    cluster_addresses: tuple[bytes, ...] = ()
    external_addresses: tuple[bytes, ...] = ()
    external_name: str = ""
    ports: tuple[ServicePort, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """pod_uid: '' for an endpoint that is no pod."""

    address: bytes
    pod_uid: str = ""
    pod_name: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Who stands behind a service. ports: numbers that the endpoints themselves listen on, with their protocol."""

    uid: str
    name: str
    namespace: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[ServicePort, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterNode:
    uid: str
    name: str
    addresses: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerFact:
    """A container that belongs to no pod. identifier: as in the cgroup's path. name: what its user calls it. runtime: docker,
    podman, nerdctl, ... labels: those that are asked for (compose's project and service, ...)."""

    identifier: str
    name: str
    image: str = ""
    runtime: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    started_at: int = 0


Fact = Pod | Service | EndpointSlice | ClusterNode | ContainerFact


class FactSource(enum.Enum):
    """The surer first: what the API server says replaces what a runtime's files say of the same pod."""

    API_SERVER = "api_server"
    RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class FactChange:
    """One object is now so. at: unix ns when that was learnt, or 0 for 'as of the first moment'.

    gone: it is no more; then only the fact's kind and uid are sure to be filled (what vanished unseen is not told again).
    """

    fact: Fact
    at: int = 0
    gone: bool = False
    source: FactSource = FactSource.API_SERVER


class FactSink(Protocol):
    def learn(self, changes: Sequence[FactChange]) -> None:
        """Takes changes in order, from any thread; never blocks long. After a relist, what vanished comes as `gone`."""
        ...


class ContainerLookup(Protocol):
    """Learns about containers from their runtime's files, by need; tells a FactSink from a thread of its own.

    A pod that a runtime describes is told again, with all its containers so far, for each container looked up.
    """

    def want(self, identifier: str, cgroup_path: str) -> None:
        """A cgroup of that path was seen, which names this container. Cheap and never blocks; asking again costs nothing."""
        ...

    def release(self, identifier: str) -> None:
        """Its cgroup is no more: what was told of it is told as `gone`."""
        ...
