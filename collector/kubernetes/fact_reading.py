"""From an object's JSON to a fact. ValueError or RecursionError (shapes.NOT_READABLE) for what is not such an object."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec

from collector.cluster_facts import ClusterNode, Endpoint, EndpointSlice, Owner, Service, ServicePort
from collector.kubernetes.shapes import Metadata, NodeShape, Port, ServiceShape, SliceShape

SERVICE_OF_SLICE = "kubernetes.io/service-name"
MAPPED = bytes(10) + b"\xff\xff"
NODE_ADDRESSES = ("InternalIP", "ExternalIP")
KEPT_DECISIONS = 10_000

_service = msgspec.json.Decoder(ServiceShape)
_slice = msgspec.json.Decoder(SliceShape)
_node = msgspec.json.Decoder(NodeShape)

# Words that thousands of objects share are kept once.
shared = sys.intern


class AllowList:
    """Which labels or annotations are kept. patterns: their names, with * for anything."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._decided: dict[str, bool] = {}

    def keep(self, given: Mapping[str, str] | None) -> dict[str, str]:
        """Those of `given` that are asked for."""
        return {shared(name): value for name, value in given.items() if self._wants(name)} if given else {}

    def _wants(self, name: str) -> bool:
        """Thousands of pods have the same names, so each is matched once."""
        if name not in self._decided:
            if len(self._decided) >= KEPT_DECISIONS:
                self._decided.clear()
            self._decided[name] = any(fnmatchcase(name, pattern) for pattern in self._patterns)
        return self._decided[name]


def read_service(raw: bytes | msgspec.Raw) -> Service:
    """ClusterIPs (none for headless), load balancers' and external addresses, ports."""
    shape = _service.decode(raw)
    spec, balancer = shape.spec, shape.status.load_balancer
    cluster = spec.cluster_ips or [spec.cluster_ip]
    external = [*(spec.external_ips or ()), *(one.ip for one in (balancer and balancer.ingress) or ())]
    return Service(
        **identity_of(shape.metadata),
        kind=shared(spec.type),
        cluster_addresses=read_addresses(cluster),
        external_addresses=read_addresses(external),
        external_name=spec.external_name,
        ports=read_ports(spec.ports),
    )


def read_slice(raw: bytes | msgspec.Raw) -> EndpointSlice:
    """Ready or not: a packet may still come from an endpoint that is not. Slices of names (FQDN) have no addresses."""
    shape = _slice.decode(raw)
    endpoints = []
    for one in shape.endpoints or ():
        reference = one.target_ref
        uid, name = (reference.uid, reference.name) if reference is not None and reference.kind == "Pod" else ("", "")
        node = shared(one.node_name or "")
        for text in one.addresses or ():
            address = read_address(text)
            if address is not None:
                endpoints.append(Endpoint(address, uid, name, node))
    service = (shape.metadata.labels or {}).get(SERVICE_OF_SLICE, "")
    return EndpointSlice(
        **identity_of(shape.metadata), service=shared(service), endpoints=tuple(endpoints), ports=read_ports(shape.ports)
    )


def read_node(raw: bytes | msgspec.Raw) -> ClusterNode:
    shape = _node.decode(raw)
    listed = (one.address for one in shape.status.addresses or () if one.type in NODE_ADDRESSES)
    return ClusterNode(require_uid(shape.metadata), shape.metadata.name, read_addresses(listed))


def identity_of(metadata: Metadata) -> dict[str, str]:
    """uid, name, namespace. ValueError without a UID."""
    return {"uid": require_uid(metadata), "name": metadata.name, "namespace": shared(metadata.namespace)}


def require_uid(metadata: Metadata) -> str:
    """ValueError without one: nothing could be told apart."""
    if not metadata.uid:
        raise ValueError("the object has no uid")
    return metadata.uid


def owner_of(metadata: Metadata) -> Owner | None:
    """The one that controls it; where none says so, the only one."""
    references = metadata.owner_references or []
    chosen = next((one for one in references if one.controller), references[0] if len(references) == 1 else None)
    return None if chosen is None else Owner(shared(chosen.kind), shared(chosen.name), shared(chosen.uid))


def read_ports(ports: Iterable[Port] | None) -> tuple[ServicePort, ...]:
    return tuple(
        ServicePort(shared((one.protocol or "TCP").lower()), one.port, one.node_port or 0, one.name or "")
        for one in ports or ()
        if one.port
    )


def read_addresses(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Those that are addresses, once each; 'None' of headless services and names are not."""
    found = (read_address(text) for text in texts)
    return tuple(dict.fromkeys(address for address in found if address is not None))


def read_address(text: str) -> bytes | None:
    """16 bytes; IPv4 as ::ffff:a.b.c.d."""
    try:
        return socket.inet_pton(socket.AF_INET6, text) if ":" in text else MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a null character, or what is not ASCII
        return None


def read_time(text: str | None) -> int:
    """Unix ns of an RFC 3339 time; 0 when there is none or it cannot be read."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000 if text else 0
    except ValueError:
        return 0
