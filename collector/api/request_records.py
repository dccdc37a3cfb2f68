"""Requests, and groups of them, as clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from collector.api.flow_answers import NEXT, TOTAL
from collector.api.moments import write_moments
from collector.api.record_columns import NANOSECONDS, addresses, known, named, seconds, text, workload_columns
from collector.batch import Column, Rows
from collector.store.columns import command_text
from collector.store.request_groups import RequestGroup
from collector.store.requests import Words
from collector.store.workload_names import WorkloadNames

PIECE_ROWS = 250
PATH_PROTOCOLS = ("http", "websocket")


class RequestRecord(BaseModel):
    """One request and its answer, as one of its ends on this node saw it. null: not known, or there is none."""

    id: int = text("Order of arrival in the agent, unique while it runs.", 1842)
    time: str | None = text("First byte of the request.", "2026-11-23T08:00:00.250000Z")
    protocol: str = text("http, grpc, postgresql, mysql, redis, dns, websocket or unknown.", "http")
    role: str = text("server: this end was asked; client: it asked.", "server")
    operation: str | None = text("Method, command or kind of statement.", "GET")
    route: str | None = text("Template of the path; for others the table, key space or method.", "/users/:id")
    path: str | None = text("The path itself (url.path, never its query); HTTP only.", "/users/17")
    status: str | None = text("The protocol's own status.", "200")
    outcome: str = text("ok, error, unanswered, or unknown when the answer could not be read.", "ok")
    error: str | None = text("Kind of error (OpenTelemetry error.type).", None)
    duration_seconds: float | None = text("To the last byte of the answer.", 0.0031)
    first_byte_seconds: float | None = text("To the first byte of the answer.", 0.0029)
    request_bytes: int = text("Of the request on the wire, heads included.", 320)
    response_bytes: int = text("Of the answer on the wire, heads included.", 5120)
    request_body_bytes: int | None = text("Of the request's body.", 0)
    response_body_bytes: int | None = text("Of the answer's body.", 4800)
    local_workload: str = text("Workload of this node's end.", "cart")
    local_namespace: str = text("Its namespace, '' without one.", "shop")
    local_kind: str = text("Its kind: pod, container, unit, process, service, node, address, name, network or unknown.", "pod")
    local_pod: str | None = text("Name of its pod.", "cart-7d9f")
    local_container: str | None = text("Name of its container.", "server")
    local_pod_uid: str | None = text("UID of its pod.", "0c8b1c5e-52d4-4a70-9e0e-5d6e6a0f7a11")
    local_container_id: str | None = text("Id of its container.", "4f1d" * 16)
    local_address: str | None = text("Its address.", "10.0.0.1")
    local_port: int | None = text("Its port.", 8080)
    process: str | None = text("The kernel's name of its process.", "cart-server")
    pid: int | None = text("Its process id in the root pid namespace.", 4242)
    thread: int | None = text("Id of the thread that read (server) or wrote (client) the request.", 4250)
    network_namespace: int | None = text("Inode number of its network namespace.", 4026531840)
    peer_workload: str = text("Workload of the other end.", "web")
    peer_namespace: str = text("Its namespace, '' without one.", "shop")
    peer_kind: str = text("Its kind.", "pod")
    peer_pod: str | None = text("Name of its pod.", None)
    peer_container: str | None = text("Name of its container.", None)
    peer_pod_uid: str | None = text("UID of its pod.", None)
    peer_container_id: str | None = text("Id of its container.", None)
    peer_address: str | None = text("Its address.", "10.0.0.9")
    peer_port: int | None = text("Its port.", 40312)
    server_port: int | None = text("Port of the end that serves.", 8080)
    transport: str = text("tcp or unix.", "tcp")
    flow: int = text("The kernel half's number for the connection.", 977)
    sampled: bool = text("Whether a span was made of it.", False)


REQUEST_COLUMNS = tuple(RequestRecord.model_fields)


class RequestsComplete(BaseModel):
    """Whether the answer can be relied on to be all there was."""

    since: str | None = text("Requests that ended before this are forgotten; null while none is.", None)
    overwritten: int = text("Requests forgotten since the start, for want of room.", 0)
    lost: int = text("Events of the probes that see requests that were lost since the start; see /api/v1/probes.", 0)


class RequestsAnswer(BaseModel):
    """One page of requests."""

    total: int = text(TOTAL, 1)
    next_cursor: str | None = text(NEXT, None)
    complete: RequestsComplete
    requests: list[RequestRecord]


class RequestGroupRecord(BaseModel):
    """Requests that have something in common. Only the keys asked for with group_by are there."""

    workload: str | None = Field(None, description="Workload of this node's end, namespace/name.", examples=["shop/cart"])
    peer: str | None = Field(None, description="Workload of the other end, namespace/name.", examples=["shop/web"])
    namespace: str | None = Field(None, description="Namespace of this node's end.", examples=["shop"])
    peer_namespace: str | None = Field(None, description="Namespace of the other end.", examples=["shop"])
    pod: str | None = Field(None, description="Pod of this node's end.", examples=["shop/cart-7d9f"])
    process: str | None = Field(None, description="Process of this node's end.", examples=["cart-server"])
    port: str | None = Field(None, description="Port of the end that serves.", examples=["8080"])
    protocol: str | None = Field(None, description="Protocol.", examples=["http"])
    role: str | None = Field(None, description="What this node's end is.", examples=["server"])
    operation: str | None = Field(None, description="Method, command or kind of statement.", examples=["GET"])
    route: str | None = Field(None, description="Template of the path, table, method.", examples=["/users/:id"])
    status: str | None = Field(None, description="Status; '' without one.", examples=["200"])
    error: str | None = Field(None, description="Kind of error; '' without one.", examples=["503"])
    outcome: str | None = Field(None, description="How they ended.", examples=["ok"])
    requests: int = text("How many. A request inside the node is two, one for each end that could be read.", 310)
    rate: float | None = text("Per second, over range_seconds.", 5.2)
    errors: int = text("Of these failed: no answer, or one that is an error to this end (clients: from 400 on).", 3)
    error_share: float = text("errors / requests.", 0.0097)
    request_bytes: int = text("Sum.", 99200)
    response_bytes: int = text("Sum.", 1587200)
    p50_seconds: float | None = text("Half of those answered took no longer (nearest rank).", 0.0031)
    p90_seconds: float | None = text("90 % took no longer.", 0.0062)
    p95_seconds: float | None = text("95 % took no longer.", 0.0075)
    p99_seconds: float | None = text("99 % took no longer.", 0.021)
    max_seconds: float | None = text("The slowest.", 0.034)


class RequestGroupsAnswer(BaseModel):
    """Requests summed up, instead of the requests themselves."""

    total: int = text("How many groups there are.", 1)
    next_cursor: None = text("Always null: groups come in one page.", None)
    complete: RequestsComplete
    range_seconds: float = text("What rates are over: since..until, as far as the agent was there and remembers.", 60.0)
    groups: list[RequestGroupRecord]


def request_group_record(group: RequestGroup) -> dict[str, Any]:
    """The record of one group, keys first."""
    sums = asdict(group)
    return {**sums.pop("keys"), **sums}


def request_pieces(rows: Rows, words: Words, names: WorkloadNames) -> Iterator[list[dict[str, Any]]]:
    """Records of REQUEST rows, shape (n,), some at a time, in order."""
    for start in range(0, len(rows), PIECE_ROWS):
        yield request_records(rows[start : start + PIECE_ROWS], words, names)


def request_records(rows: Rows, words: Words, names: WorkloadNames) -> list[dict[str, Any]]:
    """Records of REQUEST rows, keys in the order of REQUEST_COLUMNS."""
    nobody = [False] * len(rows)
    protocols = named(rows["protocol"], words["protocol"])
    resources = known(named(rows["resource"], words["resource"]))
    columns = {
        "id": rows["sequence"].tolist(),
        "time": write_moments(rows["time"]),
        "protocol": protocols,
        **{name: named(rows[name], words[name]) for name in ("role", "outcome", "transport")},
        **{name: known(named(rows[name], words[name])) for name in ("operation", "route", "status")},
        "error": known(named(rows["error_type"], words["error_type"])),
        "path": [path if name in PATH_PROTOCOLS else None for path, name in zip(resources, protocols, strict=True)],
        "duration_seconds": seconds(rows["duration"], NANOSECONDS),
        "first_byte_seconds": seconds(rows["first_byte"], NANOSECONDS),
        **{name: rows[name].tolist() for name in ("request_bytes", "response_bytes", "flow", "sampled")},
        **{name: _sizes(rows[name]) for name in ("request_body_bytes", "response_body_bytes")},
        **workload_columns("local", rows["local"], names),
        **workload_columns("peer", rows["peer"], names),
        "local_address": addresses(rows["local_address"], nobody),
        "peer_address": addresses(rows["remote_address"], nobody),
        **{name: known(rows[name].tolist()) for name in ("local_port", "server_port", "thread")},
        "peer_port": known(rows["remote_port"].tolist()),
        "process": known([command_text(command) for command in rows["command"].tolist()]),
        "pid": known(rows["process"].tolist()),
        "network_namespace": known(rows["netns"].tolist()),
    }
    in_order = [columns[name] for name in REQUEST_COLUMNS]
    return [dict(zip(REQUEST_COLUMNS, values, strict=True)) for values in zip(*in_order, strict=True)]


def _sizes(values: Column) -> list[int | None]:
    return [value if value >= 0 else None for value in values.tolist()]
