"""What a span says about its request: name, kind, status and attributes by OpenTelemetry's semantic conventions 1.41. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from collector.instruments import AttributeValue
from collector.request_names import DATABASES, name_span

Attributes = dict[str, AttributeValue]
CLIENT, SERVER = "client", "server"

# What a parser may add; anything else does not leave the node, whatever it is.
KNOWN_ATTRIBUTES = frozenset((
    "db.collection.name", "db.namespace", "db.operation.batch.size", "db.operation.name", "db.query.summary", "db.query.text",
    "db.response.returned_rows", "db.response.status_code", "db.stored_procedure.name", "db.system.name", "dns.question.name",
    "http.request.method", "http.request.method_original", "http.response.status_code", "network.protocol.name",
    "network.protocol.version", "rpc.method", "rpc.response.status_code", "rpc.system.name", "server.address", "server.port",
    "url.path", "url.scheme",
))  # fmt: skip
HTTP = frozenset(("http", "websocket"))
BODY_SIZES = ("http.request.body.size", "http.response.body.size")
DEFAULT_PORTS = {"http": 80, "https": 443}


class Details(Protocol):
    """What a parser found beyond the columns (collector.decode.request.Request)."""

    @property
    def trace_parent(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, AttributeValue]: ...
    @property
    def request_body_bytes(self) -> int: ...
    @property
    def response_body_bytes(self) -> int: ...


class RequestFacts(NamedTuple):
    """One row of `request` in words. role: client, server or unknown; route: '' not known; fields: the row's own numbers."""

    role: str
    protocol: str
    outcome: str
    transport: str
    operation: str
    resource: str
    status: str
    error_type: str
    route: str
    is_encrypted: bool
    fields: Mapping[str, Any]
    details: Details


class SpanContent(NamedTuple):
    """is_error: Status code ERROR, else unset. unknown: attributes that were left out because nobody knows them."""

    name: str
    attributes: Attributes
    is_error: bool
    unknown: int


class SpanShape(NamedTuple):
    """Which numbers a span has."""

    is_server: bool
    has_peer: bool
    has_bodies: bool


def shape_of(facts: RequestFacts) -> SpanShape:
    has_peer = facts.transport != "unix" and bool(address_text(facts.fields["remote_address"]))
    return SpanShape(facts.role == SERVER, has_peer, facts.protocol in HTTP)


def describe_request(facts: RequestFacts) -> SpanContent:
    """Whatever the protocol. What is not known is left out, and so is what `describe_numbers` says."""
    given = {name: value for name, value in facts.details.attributes.items() if name in KNOWN_ATTRIBUTES}
    attributes = _describe_ends(facts, given)
    attributes |= given
    if facts.protocol in HTTP:
        name = _describe_http(facts, attributes)
    elif facts.protocol == "grpc":
        name = _describe_call(facts, attributes)
    elif facts.protocol in DATABASES:
        name = _describe_query(facts, attributes)
    else:
        name = _describe_other(facts, attributes)
    error = facts.error_type or ("unanswered" if facts.outcome == "unanswered" else "_OTHER" if facts.outcome == "error" else "")
    if error:
        attributes["error.type"] = error
    return SpanContent(name, attributes, bool(error), len(facts.details.attributes) - len(given))


def _describe_ends(facts: RequestFacts, given: Mapping[str, AttributeValue]) -> Attributes:
    fields = facts.fields
    attributes: Attributes = {"network.transport": facts.transport}
    if fields["process"]:
        attributes["process.pid"] = fields["process"]
    if fields["thread"]:
        attributes["thread.id"] = fields["thread"]
    remote, local = address_text(fields["remote_address"]), address_text(fields["local_address"])
    server, port = (local, fields["local_port"]) if facts.role == SERVER else (remote, fields["remote_port"])
    if facts.transport != "unix" and remote:
        attributes["network.peer.address"] = remote
        if facts.role == SERVER:
            attributes["client.address"] = remote
    if "server.address" not in given:
        _add_end(attributes, "server", server, port)
    elif "server.port" not in given and port:
        attributes["server.port"] = port
    return attributes


def describe_numbers(shape: SpanShape, remote_port: int, body_sizes: tuple[int, int]) -> Iterator[tuple[str, int]]:
    """The attributes that are hardly twice the same, by name. body_sizes: of request and answer, -1 not known."""
    if shape.has_peer and remote_port:
        yield "network.peer.port", remote_port
        if shape.is_server:
            yield "client.port", remote_port
    if shape.has_bodies:
        for name, size in zip(BODY_SIZES, body_sizes, strict=True):
            if size >= 0:
                yield name, size


def _add_end(attributes: Attributes, end: str, address: str, port: int) -> None:
    if address:
        attributes[f"{end}.address"] = address
        if port:
            attributes[f"{end}.port"] = port


@lru_cache(maxsize=4096)
def address_text(packed: bytes) -> str:
    """'' for the address of nothing."""
    address = ipaddress.IPv6Address(packed)
    return "" if int(address) in (0, 0xFFFF_0000_0000) else str(address.ipv4_mapped or address)


def _describe_http(facts: RequestFacts, attributes: Attributes) -> str:
    method = facts.operation or str(attributes.get("http.request.method", ""))
    path = str(attributes.get("url.path", "")) or facts.resource
    attributes.setdefault("url.scheme", "https" if facts.is_encrypted else "http")
    attributes["network.protocol.name"] = "http"
    _set(attributes, "http.request.method", method)
    _set(attributes, "http.route", facts.route if facts.role == SERVER else "")
    _set(attributes, "url.template", facts.route if facts.role == CLIENT else "")
    _set(attributes, "url.path", path)
    if facts.status.isdecimal():
        attributes["http.response.status_code"] = int(facts.status)
    if facts.role == CLIENT and "server.address" in attributes and path.startswith("/"):
        attributes["url.full"] = _full_address(attributes, path)
    return name_span(facts.protocol, method, facts.route)


def _full_address(attributes: Attributes, path: str) -> str:
    scheme, host, port = str(attributes["url.scheme"]), str(attributes["server.address"]), attributes.get("server.port")
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}{path}" if port in (None, DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}{path}"


def _describe_call(facts: RequestFacts, attributes: Attributes) -> str:
    attributes.setdefault("rpc.system.name", "grpc")
    method = str(attributes.get("rpc.method", "")) or facts.resource.lstrip("/")
    _set(attributes, "rpc.method", method)
    if "rpc.response.status_code" not in attributes:
        _set(attributes, "rpc.response.status_code", facts.status)
    return method or "grpc"


def _describe_query(facts: RequestFacts, attributes: Attributes) -> str:
    attributes.setdefault("db.system.name", facts.protocol)
    _set(attributes, "db.operation.name", facts.operation)
    _set(attributes, "db.collection.name", facts.resource)
    _set(attributes, "db.response.status_code", facts.status)
    summary = attributes.get("db.query.summary")
    return str(summary or name_span(str(attributes["db.system.name"]), facts.operation, facts.resource))


def _describe_other(facts: RequestFacts, attributes: Attributes) -> str:
    if facts.protocol == "dns":
        attributes["network.protocol.name"] = "dns"
        _set(attributes, "dns.question.name", facts.resource)
        return f"DNS {facts.operation}".rstrip()
    return facts.operation or facts.protocol


def _set(attributes: Attributes, name: str, value: str) -> None:
    if value:
        attributes[name] = value
