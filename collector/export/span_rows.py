"""Sampled rows of `request` as spans that wait to be sent: all that does not change any more is encoded at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.batch import Batch, Column, Rows
from collector.export.attribute_text import valid_text
from collector.export.span_content import (
    CLIENT,
    SERVER,
    Details,
    RequestFacts,
    SpanShape,
    describe_numbers,
    describe_request,
    shape_of,
)
from collector.export.span_identity import RemoteParent, read_trace_parent
from collector.export.span_wire import encode_attributes, encode_number, encode_times
from collector.instruments import AttributeValue
from collector.workload import UNKNOWN

KINDS = {SERVER: Span.SPAN_KIND_SERVER, CLIENT: Span.SPAN_KIND_CLIENT}
ERROR = Status(code=Status.STATUS_CODE_ERROR)
LONGEST_NAME = 256
LATEST = 2**64 - 1
OBJECT_BYTES = 1000  # what a waiting span takes beside its encoded part
KINDS_KEPT = 2048
SIDES = ("local", "peer")
# What spans of one kind agree in, and what each has of its own.
SHARED_FIELDS = (
    "process", "thread", "role", "protocol", "outcome", "transport", "operation", "status", "error_type", "resource",
    "remote_address", "local_address", "server_port",
)  # fmt: skip
RESOURCE_AT = SHARED_FIELDS.index("resource")
OWN_FIELDS = ("observed_at", "duration", "flow", "remote_port", "request_body_bytes", "response_body_bytes")
WORDS = ("role", "protocol", "outcome", "transport", "operation", "resource", "status", "error_type")
OVERFLOWED = "_OTHER"


class RequestPlace(NamedTuple):
    """Where and when it was. thread: as `thread_of` numbers it, 0 not known; start: boot ns."""

    role: str
    thread: int
    flow: int
    start: int


@dataclass(slots=True)
class PendingSpan:
    """local, peer: workload numbers. remote: what the traceparent names. place: until it is placed in
    a trace.

    parent_id and method are what is known so far of its place in the trace. size: bytes of memory at first, about.
    """

    local: int
    peer: int
    trace_id: bytes
    span_id: bytes
    remote: RemoteParent | None
    body: bytes
    place: RequestPlace | None = None
    parent_id: bytes = b""
    flags: int = 0
    method: str = "none"

    size: int = 0

    def __post_init__(self) -> None:
        self.size = len(self.body) + OBJECT_BYTES


class Kind(NamedTuple):
    """What spans have in common that differ in their times and a few numbers, encoded. source: the attributes it was made of."""

    source: Mapping[str, AttributeValue]
    encoded: bytes
    shape: SpanShape
    role: str
    unknown: int


class SpanKinds:
    """Bounded: when full it starts anew. A key holds all that a span says but for what `describe_numbers` and its times do."""

    def __init__(self, limit: int = KINDS_KEPT) -> None:
        self._limit = limit
        self._kinds: dict[tuple[object, ...], Kind] = {}

    def find(self, key: tuple[object, ...], source: Mapping[str, AttributeValue], read_facts: Callable[[], RequestFacts]) -> Kind:
        """Attributes that are another object are other attributes: parsers share those that are equal."""
        known = self._kinds.get(key)
        if known is None or known.source is not source:
            if len(self._kinds) >= self._limit:
                self._kinds.clear()
            known = self._kinds[key] = encode_kind(read_facts())
        return known


class RowReader:
    """Reads one batch that has the columns details, trace_id and span_id. unknown: attributes that nobody knows, left out.

    without_details: sampled rows that nobody described.
    """

    def __init__(self, batch: Batch, wall_offset_ns: int, kinds: SpanKinds | None = None) -> None:
        self._batch = batch
        self._offset = wall_offset_ns
        self._kinds = kinds or SpanKinds()
        self._names = batch.schema.dtype.names or ()
        self._words = {name: batch.schema.field(name).names for name in WORDS}
        self._is_encrypted = batch.schema.probe.startswith("tls")
        self._names_of_routes = next((field.names for field in batch.schema.fields if field.name == "route"), {})
        self.unknown = self.without_details = 0

    def spans(self) -> Iterator[PendingSpan]:
        """One for each sampled row that has details."""
        batch = self._batch
        sampled = np.flatnonzero(batch.rows["sampled"])
        rows = batch.rows[sampled]
        routes = self._routes(sampled)
        sides = [(batch.columns[side][sampled].tolist() if side in batch.columns else [UNKNOWN] * len(rows)) for side in SIDES]
        ids = [batch.columns[name][sampled] for name in ("details", "trace_id", "span_id")]
        shared = zip(*(rows[name].tolist() for name in SHARED_FIELDS), strict=True)
        own = zip(*(rows[name].tolist() for name in OWN_FIELDS), strict=True)
        for index, (key, numbers, route, local, peer, details, trace_id, span_id) in enumerate(
            zip(shared, own, routes, *sides, *ids, strict=True)
        ):
            if details is None:
                self.without_details += 1
                continue
            kind = self._kind(key, route, details, rows, index)
            self.unknown += kind.unknown
            body = kind.encoded + self._encode_own(kind.shape, numbers, details)
            place = place_of(kind.role, key, numbers) if kind.role in KINDS else None
            yield PendingSpan(local, peer, trace_id, span_id, read_trace_parent(details.trace_parent), body, place)

    def _routes(self, sampled: Column) -> list[str]:
        """Of the column `route`: text, or numbers whose names are in the schema."""
        if "route" not in self._batch:
            return [""] * len(sampled)
        values, names = self._batch["route"][sampled].tolist(), self._names_of_routes
        return [value if isinstance(value, str) else names.get(value, "") for value in values]

    def _kind(self, key: tuple[Any, ...], route: str, details: Details, rows: Rows, index: int) -> Kind:
        """The resource by its word: numbers of paths are given anew after a while."""
        resource = self._words["resource"].get(key[RESOURCE_AT], "")
        full = (*key, self._batch.schema.probe, route, resource, id(details.attributes))
        return self._kinds.find(full, details.attributes, lambda: self._facts(rows[index], route, details))

    def _facts(self, row: np.void, route: str, details: Details) -> RequestFacts:
        fields = dict(zip(self._names, row.tolist(), strict=True))
        words = {name: names.get(fields[name], "") for name, names in self._words.items()}
        for name in ("resource", "status", "error_type"):
            words[name] = "" if words[name] == OVERFLOWED else words[name]
        return RequestFacts(**words, route=route, is_encrypted=self._is_encrypted, fields=fields, details=details)

    def _encode_own(self, shape: SpanShape, numbers: tuple[int, ...], details: Details) -> bytes:
        observed_at, duration, _, remote_port, request_body, response_body = numbers
        start = min(max(observed_at + self._offset, 0), LATEST)
        bodies = max(request_body, details.request_body_bytes), max(response_body, details.response_body_bytes)
        parts = [encode_number(name, value) for name, value in describe_numbers(shape, remote_port, bodies)]
        return encode_times(start, min(start + duration, LATEST)) + b"".join(parts)


def encode_kind(facts: RequestFacts) -> Kind:
    """Name, kind, status and all attributes that do not differ from one span to the next."""
    content = describe_request(facts)
    span = Span(
        name=valid_text(content.name)[:LONGEST_NAME],
        kind=KINDS.get(facts.role, Span.SPAN_KIND_UNSPECIFIED),
        status=ERROR if content.is_error else None,
    )
    encoded = bytes(span.SerializeToString()) + encode_attributes(content.attributes)
    return Kind(facts.details.attributes, encoded, shape_of(facts), facts.role, content.unknown)


def place_of(role: str, key: tuple[Any, ...], numbers: tuple[int, ...]) -> RequestPlace:
    """key: of SHARED_FIELDS, numbers: of OWN_FIELDS."""
    process, thread, observed_at, flow = key[0], key[1], numbers[0], numbers[2]
    return RequestPlace(role, process << 32 | thread if process and thread else 0, flow, observed_at)
