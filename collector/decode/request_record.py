"""What a finished request looks like as a row: the record `request`, whatever protocol and probe it came from."""

from __future__ import annotations

import numpy as np

from collector.batch import Batch, BatchKind, Field, RowGroups, Rows, Schema
from collector.decode.request import Outcome, Request
from collector.decode.text_table import OTHER, TextTable
from collector.row_blocks import copy_fields

PROTOCOLS = {0: "unknown", 1: "http", 2: "grpc", 3: "postgresql", 4: "mysql", 5: "redis", 6: "dns", 7: "websocket"}
PROTOCOL_NUMBERS = {name: number for number, name in PROTOCOLS.items()}
OUTCOMES = dict(enumerate(outcome.value for outcome in Outcome))
OUTCOME_NUMBERS = {outcome: number for number, outcome in enumerate(Outcome)}
ROLES = {0: "unknown", 1: "client", 2: "server"}
CLIENT = 1
NO_ERRORS = frozenset(("", "OK"))
TRANSPORTS = {0: "tcp", 1: "unix"}

OPERATIONS_MAX, RESOURCES_MAX, STATUSES_MAX, SYSTEMS_MAX, NAMESPACES_MAX = 1024, 65_536, 4096, 256, 1024
UNANSWERED_TYPE, UNANSWERED_NUMBER = "unanswered", 2  # error.type of a request without an answer: the first of all words

# What an exchange, a chunk and a request say alike about whose they are.
OWNER_FIELDS = (
    "flow", "process_started_at", "cgroup", "local_address", "remote_address", "command", "netns", "process", "thread",
    "role", "transport", "local_port", "remote_port",
)  # fmt: skip


class RequestTexts:
    """The words of all requests: methods and commands, paths and tables, status codes and error types, databases."""

    def __init__(self) -> None:
        self.operations = TextTable(OPERATIONS_MAX)
        self.resources = TextTable(RESOURCES_MAX)
        self.statuses = TextTable(STATUSES_MAX)
        self.statuses.number(UNANSWERED_TYPE)
        self.systems = TextTable(SYSTEMS_MAX)
        self.namespaces = TextTable(NAMESPACES_MAX)

    def renew_resources(self) -> None:
        """Paths come without end, so their numbers begin anew. Whoever remembers any must forget them, and rows that follow need
        a new schema: the old one keeps the words of rows that are still about."""
        overflowed = self.resources.overflowed
        self.resources = TextTable(RESOURCES_MAX)
        self.resources.overflowed = overflowed


def request_schema(probe: str, texts: RequestTexts) -> Schema:
    """Layout of `request` for one probe's decoder. resource: before grouping. status, error_type: words of the protocol.

    system, namespace: db.system.name and db.namespace, '' for what is no database or where it is not known.
    Whose it is lies as in probes/include/exchange.bpf.h, so that it is copied in few blocks.
    """
    fields = (
        ("flow", "u8", Field("flow", "flow_id")),
        ("observed_at", "u8", Field("observed_at", "boot_ns")),  # first byte of the request
        ("duration", "u8", Field("duration", "duration_ns")),  # to the last byte of the answer; 0: none came
        ("first_byte", "u8", Field("first_byte", "duration_ns")),  # to the first byte of the answer
        ("request_bytes", "u8", Field("request_bytes", "byte_count")),
        ("response_bytes", "u8", Field("response_bytes", "byte_count")),
        ("request_body_bytes", "i8", Field("request_body_bytes")),  # -1: not known
        ("response_body_bytes", "i8", Field("response_body_bytes")),
        ("process_started_at", "u8", Field("process_started_at", "boot_ns")),
        ("cgroup", "u8", Field("cgroup", "cgroup_id")),
        ("local_address", "V16", Field("local_address", "ip_address")),
        ("remote_address", "V16", Field("remote_address", "ip_address")),
        ("command", "S16", Field("command", "command_name")),
        ("netns", "u4", Field("netns", "netns_id")),
        ("process", "u4", Field("process", "process_id")),
        ("thread", "u4", Field("thread", "thread_id")),
        ("role", "u4", Field("role", "request_role", ROLES)),
        ("transport", "u4", Field("transport", "request_transport", TRANSPORTS)),
        ("protocol", "u4", Field("protocol", "request_protocol", PROTOCOLS)),
        ("outcome", "u4", Field("outcome", "request_outcome", OUTCOMES)),
        ("operation", "u4", Field("operation", "request_operation", texts.operations.names)),
        ("resource", "u4", Field("resource", "request_resource", texts.resources.names)),
        ("status", "u4", Field("status", "request_status", texts.statuses.names)),
        ("error_type", "u4", Field("error_type", "request_error", texts.statuses.names)),
        ("system", "u4", Field("system", "request_system", texts.systems.names)),
        ("namespace", "u4", Field("namespace", "request_namespace", texts.namespaces.names)),
        ("local_port", "u2", Field("local_port", "ip_port")),
        ("remote_port", "u2", Field("remote_port", "ip_port")),
        ("server_port", "u2", Field("server_port", "service_port")),
        ("sampled", "u2", Field("sampled")),
    )
    dtype = np.dtype([(name, form) for name, form, _ in fields], align=True)
    return Schema(probe, "request", dtype, tuple(entry for _, _, entry in fields))


def copy_owner(source: Rows, rows: Rows) -> None:
    """Whose they are and between which ends; server_port follows from the role."""
    copy_fields(source, rows, OWNER_FIELDS)
    rows["server_port"] = np.where(source["role"] == 2, source["local_port"], source["remote_port"])


def error_type_at(request: Request, role: int) -> str:
    """error.type as the end in that role sees it: for a client the faults of its own are errors too."""
    if request.error_type or role != CLIENT or request.status in NO_ERRORS:
        return request.error_type
    if request.protocol == "grpc" or (request.protocol == "http" and request.status >= "400"):
        return request.status
    return ""


def request_batch(schema: Schema, rows: Rows, owners: RowGroups | None = None) -> Batch:
    """What failed has an error type from here on: its own, else that it had no answer, else _OTHER."""
    untyped = rows["error_type"] == 0
    for outcome, number in ((Outcome.UNANSWERED, UNANSWERED_NUMBER), (Outcome.ERROR, OTHER)):
        rows["error_type"][untyped & (rows["outcome"] == OUTCOME_NUMBERS[outcome])] = number
    return Batch(schema, BatchKind.EVENTS, rows, owners=owners)
