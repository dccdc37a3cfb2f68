"""The query parameters of the routes: each described once, for the reader, for OpenAPI and for the refusals."""

from __future__ import annotations

import ipaddress
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from collector.api.moments import ALLOWED as MOMENTS
from collector.api.moments import read_moment
from collector.api.row_formats import CONTENT_TYPES
from collector.store.flow_filter import EndFilter, FlowFilter, Network
from collector.store.flow_groups import GROUP_KEYS, GROUP_SORTS
from collector.store.flow_query import LIMIT_MAX, SORTS, FlowQuery
from collector.store.flow_rows import OUTCOMES_OF_FAILURE, OUTCOMES_OF_SUCCESS
from collector.store.lookups import LookupQuery
from collector.store.map_nodes import NODES
from collector.store.parameter_error import ParameterError, check_names

MAPPED_PREFIX = bytes(10) + b"\xff\xff"
PROTOCOLS = ("tcp", "udp", "sctp")
SIDES = ("either", "local", "peer")
ORDERS = ("desc", "asc")
STATES = "open, connecting, closed, failed, listening, listen_ended"
LIST_RULE = "several: repeat it or separate by commas"
NAME_RULE = "a name in full, * for any text, ? for any letter"


def several(description: str, example: str, allowed: str) -> Any:
    """A parameter that may be given several times."""
    return Field(
        default_factory=list,
        description=f"{description} ({LIST_RULE})",
        examples=[[example]],
        json_schema_extra={"x-allowed": allowed},
    )


def one(default: Any, description: str, example: Any, allowed: str, **bounds: Any) -> Any:
    """A parameter that is given once."""
    return Field(default, description=description, examples=[example], json_schema_extra={"x-allowed": allowed}, **bounds)


def words(parameter: str, values: list[str]) -> tuple[str, ...]:
    """The values of a parameter that may be given several times; ParameterError for an empty one."""
    parts = tuple(part.strip() for value in values for part in value.split(","))
    if not all(parts):
        raise ParameterError(parameter, f"{parameter} has an empty value.", "at least one letter; leave it out for anything")
    return parts


class Page(BaseModel):
    """What every route with rows takes."""

    model_config = ConfigDict(extra="forbid")

    limit: int = one(100, "How many rows at most.", 50, f"1 to {LIMIT_MAX}", ge=1, le=LIMIT_MAX)
    format: str | None = one(
        None,
        "Form of the answer; without it the Accept header decides, and JSON is the default.",
        "csv",
        ", ".join(CONTENT_TYPES),
    )


class WorkloadChoice(BaseModel):
    """Which workloads."""

    model_config = ConfigDict(extra="forbid")

    workload: list[str] = several("Workload by name or namespace/name.", "shop/cart-*", NAME_RULE)
    namespace: list[str] = several("Namespace of the workload.", "shop", NAME_RULE)
    pod: list[str] = several("Pod by uid, name or namespace/name.", "0c8b1c5e-52d4-4a70-9e0e-5d6e6a0f7a11", NAME_RULE)
    container: list[str] = several("Container by id (12 characters or more) or name.", "4f1d4f1d4f1d", NAME_RULE)
    node: list[str] = several("Node of the cluster that the pod is on.", "node-7", NAME_RULE)
    label: list[str] = several(
        "Pod label, key=value, of those that the setting kubernetes_labels keeps.", "team=shop", "key=value, * and ?"
    )

    def end(self, **more: Any) -> EndFilter:
        """What the end of a flow must be; `more`: fields that are no workload."""
        return EndFilter(
            words("workload", self.workload),
            words("namespace", self.namespace),
            words("pod", self.pod),
            words("container", self.container),
            words("node", self.node),
            words("label", self.label),
            **more,
        )


class TimeRange(BaseModel):
    """From when to when."""

    model_config = ConfigDict(extra="forbid")

    since: str | None = one(None, "Only what existed at or after this moment.", "5m", MOMENTS)
    until: str | None = one(None, "Only what existed at or before this moment.", "2026-11-23T08:00:00Z", MOMENTS)

    def moments(self, now_ns: int) -> tuple[int | None, int | None]:
        """since and until as unix ns; ParameterError when one is no moment or they are the wrong way round."""
        since = read_moment("since", self.since, now_ns) if self.since is not None else None
        until = read_moment("until", self.until, now_ns) if self.until is not None else None
        if since is not None and until is not None and since > until:
            raise ParameterError("until", "until lies before since.", "a moment after since")
        return since, until


class FlowChoice(WorkloadChoice):
    """Which flows; all that is given must hold."""

    process: list[str] = several(
        "Process at this node's end, by pid or by the kernel's name for it (15 letters).", "nginx", NAME_RULE
    )
    address: list[str] = several(
        "IPv4 or IPv6 address or CIDR.", "10.0.0.0/8", "an address or a CIDR such as 10.0.0.0/8 or fd00::/8"
    )
    port: list[str] = several("Port.", "443", "1 to 65535")
    side: str = one(
        "either",
        "Which end workload to label, process, address and port are about: this node's, the peer's or either.",
        "local",
        ", ".join(SIDES),
    )
    peer_workload: list[str] = several("Workload at the peer's end, whatever side says.", "api.example.org", NAME_RULE)
    peer_address: list[str] = several("Address or CIDR at the peer's end.", "192.0.2.0/24", "an address or a CIDR")
    peer_port: list[str] = several("Port at the peer's end.", "5432", "1 to 65535")
    protocol: list[str] = several("Protocol.", "tcp", "tcp, udp")
    role: list[str] = several("What this node's end is.", "client", "client, server, listener, unknown")
    state: list[str] = several("State; listening sockets are left out unless asked for.", "open", STATES)
    outcome: list[str] = several("How it ended.", "refused", ", ".join((*OUTCOMES_OF_SUCCESS, *OUTCOMES_OF_FAILURE)))

    def filter(self, since_ns: int | None = None, until_ns: int | None = None) -> FlowFilter:
        """The filter of the store; ParameterError when a value cannot be."""
        check_names("side", [self.side], SIDES)
        ends = {side: EndFilter() for side in SIDES}
        ends[self.side] = self.end(
            processes=words("process", self.process),
            networks=_networks("address", self.address),
            ports=read_ports("port", self.port),
        )
        codes = {name: words(name[:-1], getattr(self, name[:-1])) for name in ("protocols", "roles", "states", "outcomes")}
        return FlowFilter(ends["either"], ends["local"], self._peer(ends["peer"]), **codes, since_ns=since_ns, until_ns=until_ns)

    def _peer(self, end: EndFilter) -> EndFilter:
        if self.side == "peer" and (self.peer_workload or self.peer_address or self.peer_port):
            raise ParameterError(
                "side", "side=peer says the same as peer_workload, peer_address and peer_port.", "one of the two"
            )
        if self.side == "peer":
            return end
        networks, ports = _networks("peer_address", self.peer_address), read_ports("peer_port", self.peer_port)
        return EndFilter(workloads=words("peer_workload", self.peer_workload), networks=networks, ports=ports)


class FlowParameters(FlowChoice, TimeRange, Page):
    """GET /api/v1/flows"""

    sort: str = one(
        "",
        "What to sort by; time: when the flow began. Default: time, for groups flows.",
        "bytes",
        ", ".join({**SORTS, **GROUP_SORTS}),
    )
    order: str = one("desc", "Largest or newest first (desc), or the other way round (asc).", "asc", ", ".join(ORDERS))
    cursor: str = one("", "next_cursor of the answer before, with otherwise the same parameters.", "WzE4OTcs...", "a next_cursor")
    group_by: list[str] = several("Sum up flows that have these in common.", "workload", ", ".join(GROUP_KEYS))

    def query(self, now_ns: int) -> FlowQuery:
        """The query of the store; ParameterError when a value cannot be."""
        check_names("order", [self.order], ORDERS)
        return FlowQuery(
            filter=self.filter(*self.moments(now_ns)),
            sort=self.sort,
            descending=self.order == "desc",
            limit=self.limit,
            cursor=self.cursor,
            group_by=words("group_by", self.group_by),
            asked=self.model_dump_json(exclude={"cursor", "limit", "format"}),
        )


class LookupParameters(WorkloadChoice, TimeRange, Page):
    """GET /api/v1/lookups"""

    name: list[str] = several("The name that was asked for.", "*.example.org", NAME_RULE)
    process: list[str] = several("Process that asked (or answers), by pid or by the kernel's name for it.", "curl", NAME_RULE)
    response_code: list[str] = several("How it ended.", "nxdomain", "noerror, nxdomain, servfail, refused, timeout, ...")
    question_type: list[str] = several("Type of the question.", "aaaa", "a, aaaa, ptr, srv, ...")
    role: list[str] = several("client: this node asked; server: this node was asked.", "client", "client, server")
    cursor: str = one("", "next_cursor of the answer before, with otherwise the same parameters.", "WzE4OTcs...", "a next_cursor")

    def query(self, now_ns: int) -> LookupQuery:
        """The query of the store; ParameterError when a value cannot be."""
        since, until = self.moments(now_ns)
        return LookupQuery(
            names=words("name", self.name),
            local=self.end(processes=words("process", self.process)),
            response_codes=words("response_code", self.response_code),
            question_types=words("question_type", self.question_type),
            roles=words("role", self.role),
            since_ns=since,
            until_ns=until,
            limit=self.limit,
            cursor=self.cursor,
            asked=self.model_dump_json(exclude={"cursor", "limit", "format"}),
        )


class MapParameters(FlowChoice, TimeRange):
    """GET /api/v1/services/map"""

    by: str = one("workload", "What is one node of the map.", "namespace", ", ".join(NODES))

    limit: int = one(
        1000, "How many edges at most, those with the most connections first.", 200, f"1 to {LIMIT_MAX}", ge=1, le=LIMIT_MAX
    )


class PodParameters(BaseModel):
    """GET /api/v1/pods"""

    model_config = ConfigDict(extra="forbid")

    namespace: list[str] = several("Namespace of the pod.", "shop", NAME_RULE)
    pod: list[str] = several("Pod by uid, name or namespace/name.", "cart-7d9f", NAME_RULE)
    workload: list[str] = several("Service that the pod belongs to, by name or namespace/name.", "shop/cart", NAME_RULE)
    node: list[str] = several("Node that the pod is on.", "node-7", NAME_RULE)
    label: list[str] = several("Label, of those that the setting kubernetes_labels keeps.", "team=shop", "key=value, * and ?")
    address: list[str] = several("An address that the pod has or had.", "10.0.0.5", "an IPv4 or IPv6 address")
    limit: int = one(100, "How many rows at most.", 50, f"1 to {LIMIT_MAX}", ge=1, le=LIMIT_MAX)
    format: str | None = one(None, "Form of the answer; without it the Accept header decides.", "csv", ", ".join(CONTENT_TYPES))


class ResolveParameters(BaseModel):
    """GET /api/v1/resolve"""

    model_config = ConfigDict(extra="forbid")

    address: str = one(..., "The address.", "10.96.0.1", "an IPv4 or IPv6 address")
    at: str | None = one(None, "The moment; now without it.", "5m", MOMENTS)
    port: int = one(0, "Port at that address; services are meant by it.", 443, "1 to 65535", ge=0, le=65535)
    protocol: str = one("tcp", "Protocol of the port.", "udp", ", ".join(PROTOCOLS))

    def question(self, now_ns: int) -> tuple[bytes, str, int, int]:
        """(address of 16 bytes, protocol, port, unix ns); ParameterError when a value cannot be."""
        check_names("protocol", [self.protocol], PROTOCOLS)
        at = now_ns if self.at is None else read_moment("at", self.at, now_ns)
        return read_address("address", self.address), self.protocol, self.port, at


class WorkloadParameters(WorkloadChoice, Page):
    """GET /api/v1/workloads"""


class ProcessParameters(WorkloadChoice, Page):
    """GET /api/v1/processes"""

    process: list[str] = several("Process by pid, command or executable.", "nginx", NAME_RULE)
    outcome: list[str] = several("How it ended, or running.", "killed", "running, succeeded, failed, killed, oom_killed")


class NoParameters(BaseModel):
    """Routes that take none."""

    model_config = ConfigDict(extra="forbid")


def read_address(parameter: str, text: str) -> bytes:
    """16 bytes, IPv4 as ::ffff:a.b.c.d; ParameterError for what is no address."""
    try:
        address = ipaddress.ip_address(text.strip("[] "))
    except ValueError as error:
        raise ParameterError(parameter, f"{text[:100]!r} is no address.", "an IPv4 or IPv6 address") from error
    return address.packed if address.version == 6 else MAPPED_PREFIX + address.packed


def _networks(parameter: str, values: list[str]) -> tuple[Network, ...]:
    networks = []
    for text in words(parameter, values):
        try:
            networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
        except ValueError as error:
            raise ParameterError(
                parameter, f"{text[:100]!r} is no address.", "an address or a CIDR: 10.0.0.0/8, fd00::/8"
            ) from error
    return tuple(networks)


def read_ports(parameter: str, values: list[str]) -> tuple[int, ...]:
    """Port numbers; ParameterError for what is none."""
    ports = words(parameter, values)
    for text in ports:
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
            raise ParameterError(parameter, f"{text[:100]!r} is no port.", "1 to 65535")
    return tuple(int(text) for text in ports)
