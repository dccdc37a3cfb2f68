"""What is kept of pods, services and nodes: one small object each, what many have in common once.

Times are boot_ns. Each object is also the proof of who held its addresses, from `since` until `until`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from weakref import WeakValueDictionary

from collector.cluster_facts import ContainerRole, Endpoint, EndpointSlice, FactSource, Pod, Service

FOREVER = (1 << 63) - 1
SERVICE = "Service"  # in the place of an owner, of pods that are known by endpoint slices only
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PodTemplate:
    """What the pods of one owner have in common. owners: (kind, name); containers: (name, image, role)."""

    namespace: str
    owners: Pairs = ()
    containers: tuple[tuple[str, str, ContainerRole], ...] = ()
    labels: Pairs = ()
    annotations: Pairs = ()


class PodTemplates:
    """Each template once, as long as a pod has it."""

    def __init__(self) -> None:
        self._templates: WeakValueDictionary[PodTemplate, PodTemplate] = WeakValueDictionary()

    def of(self, pod: Pod) -> PodTemplate:
        return self.share(
            PodTemplate(
                sys.intern(pod.namespace),
                tuple((sys.intern(owner.kind), owner.name) for owner in pod.owners),
                tuple((one.name, one.image, one.role) for one in pod.containers),
                tuple(sorted(pod.labels.items())),
                tuple(sorted(pod.annotations.items())),
            )
        )

    def share(self, template: PodTemplate) -> PodTemplate:
        """The one that is kept of all equal ones."""
        return self._templates.setdefault(template, template)


@dataclass(slots=True, eq=False)
class KnownPod:
    """identifiers: of its containers, in the order of the template's. cgroup_uid: the UID that its cgroup carries.

    addresses: none for host-network pods, whose address is the node's. started_at: no address was its own before; 0: not known.
    left: until is when its last container
    went from this node, not when somebody heard of its end. by_endpoint: its addresses are known from endpoint slices only.
    """

    uid: str
    name: str
    template: PodTemplate
    node: str
    addresses: tuple[bytes, ...]
    identifiers: tuple[str, ...]
    source: FactSource | None
    since: int
    started_at: int
    until: int = FOREVER
    cgroup_uid: str = ""
    left: bool = False
    by_endpoint: bool = False
    host_network: bool = False

    @property
    def namespace(self) -> str:
        return self.template.namespace

    @property
    def began(self) -> int:
        """No address was its own before."""
        return self.started_at or self.since


@dataclass(slots=True, eq=False)
class KnownService:
    """ports: (protocol, port), of the service itself."""

    uid: str
    name: str
    namespace: str
    kind: str
    addresses: tuple[bytes, ...]
    external_name: str
    ports: frozenset[tuple[str, int]]
    node_ports: frozenset[tuple[str, int]]
    since: int
    until: int = FOREVER


@dataclass(slots=True, eq=False)
class KnownEndpoints:
    """The endpoints of one slice that are no pods: they answer for `service` on `ports`."""

    uid: str
    name: str
    namespace: str
    addresses: tuple[bytes, ...]
    ports: frozenset[tuple[str, int]]
    since: int
    until: int = FOREVER
    pods: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class KnownNode:
    """A machine of the cluster."""

    uid: str
    name: str
    addresses: tuple[bytes, ...]
    since: int
    until: int = FOREVER

    @property
    def namespace(self) -> str:
        return ""


Holder = KnownPod | KnownService | KnownEndpoints | KnownNode


def keep_service(fact: Service, since: int) -> KnownService:
    return KnownService(
        fact.uid,
        fact.name,
        sys.intern(fact.namespace),
        sys.intern(fact.kind),
        (*fact.cluster_addresses, *fact.external_addresses),
        fact.external_name.rstrip(".").lower(),
        frozenset((port.protocol.lower(), port.port) for port in fact.ports),
        frozenset((port.protocol.lower(), port.node_port) for port in fact.ports if port.node_port),
        since,
    )


def keep_slice(fact: EndpointSlice, since: int) -> KnownEndpoints:
    """Its name is that of the service."""
    return KnownEndpoints(
        fact.uid,
        fact.service,
        sys.intern(fact.namespace),
        tuple(dict.fromkeys(one.address for one in fact.endpoints if not one.pod_uid)),
        frozenset((port.protocol.lower(), port.port) for port in fact.ports),
        since,
        pods=frozenset(one.pod_uid for one in fact.endpoints if one.pod_uid),
    )


def keep_endpoint(endpoint: Endpoint, fact: EndpointSlice, templates: PodTemplates, since: int) -> KnownPod:
    """A pod of which an endpoint is all that is known."""
    template = templates.share(PodTemplate(sys.intern(fact.namespace), ((SERVICE, fact.service),)))
    node = sys.intern(endpoint.node)
    return KnownPod(endpoint.pod_uid, endpoint.pod_name, template, node, (), (), None, since, 0, by_endpoint=True)
