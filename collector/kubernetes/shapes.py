"""The few fields of API objects that are used. msgspec skips all others while it parses: they never become Python objects.

Names and meanings: the Kubernetes API reference. A list may be null where Go had none.
"""

from __future__ import annotations

import msgspec

# What decoding raises for bytes that are no JSON, or not of the shape, or nested too deeply.
NOT_READABLE = (ValueError, RecursionError)


class Shape(msgspec.Struct, rename="camel", gc=False):
    """Trees of strings: the garbage collector need not look at them."""


class OwnerReference(Shape):
    kind: str
    name: str
    uid: str = ""
    controller: bool | None = None


class Metadata(Shape):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class Named(Shape):
    """Any object, metadata only."""

    metadata: Metadata


class PodAddress(Shape):
    ip: str = ""


class ContainerStatus(Shape):
    name: str = ""
    container_id: str = msgspec.field(default="", name="containerID")
    image: str = ""
    restart_count: int = 0


class PodSpec(Shape):
    node_name: str = ""
    host_network: bool | None = None


class PodStatus(Shape):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: list[PodAddress] | None = msgspec.field(default=None, name="podIPs")
    start_time: str | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    ephemeral_container_statuses: list[ContainerStatus] | None = None


class PodShape(Shape):
    metadata: Metadata
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class Port(Shape):
    port: int | None = None
    protocol: str | None = None
    name: str | None = None
    node_port: int | None = None


class ServiceSpec(Shape):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    external_name: str = ""
    ports: list[Port] | None = None


class Ingress(Shape):
    ip: str = ""


class LoadBalancer(Shape):
    ingress: list[Ingress] | None = None


class ServiceStatus(Shape):
    load_balancer: LoadBalancer | None = None


class ServiceShape(Shape):
    metadata: Metadata
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)


class Reference(Shape):
    kind: str = ""
    name: str = ""
    uid: str = ""


class EndpointShape(Shape):
    addresses: list[str] | None = None
    target_ref: Reference | None = None
    node_name: str | None = None


class SliceShape(Shape):
    metadata: Metadata
    address_type: str = ""
    endpoints: list[EndpointShape] | None = None
    ports: list[Port] | None = None


class NodeAddress(Shape):
    type: str = ""
    address: str = ""


class NodeStatus(Shape):
    addresses: list[NodeAddress] | None = None


class NodeShape(Shape):
    metadata: Metadata
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class ListMetadata(Shape):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    """items: undecoded, so that one that cannot be read spoils no other."""

    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct):
    """One line of a watch. object: what `type` says, or a Status for ERROR."""

    type: str
    object: msgspec.Raw


class Status(Shape):
    code: int = 0
    reason: str = ""
    message: str = ""
