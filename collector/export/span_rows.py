"""Sampled rows of `request` as spans that wait to be sent: all that does not change any more is encoded at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.batch import Batch
from collector.export.attribute_text import valid_text
from collector.export.span_content import CLIENT, SERVER, Details, RequestFacts, SpanContent, describe_request
from collector.export.span_identity import RemoteParent, read_trace_parent
from collector.export.span_wire import encode_attributes
from collector.workload import UNKNOWN

KINDS = {SERVER: Span.SPAN_KIND_SERVER, CLIENT: Span.SPAN_KIND_CLIENT}
ERROR = Status(code=Status.STATUS_CODE_ERROR)
LONGEST_NAME = 256
LATEST = 2**64 - 1
OBJECT_BYTES = 1000  # what a waiting span takes beside its encoded part
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


class RowReader:
    """Reads one batch that has the columns details, trace_id and span_id. unknown: attributes that nobody knows, left out.

    without_details: sampled rows that nobody described.
    """

    def __init__(self, batch: Batch, wall_offset_ns: int) -> None:
        self._batch = batch
        self._offset = wall_offset_ns
        self._names = batch.schema.dtype.names or ()
        self._words = {name: batch.schema.field(name).names for name in WORDS}
        self._is_encrypted = batch.schema.probe.startswith("tls")
        self.unknown = self.without_details = 0

    def spans(self) -> Iterator[PendingSpan]:
        """One for each sampled row that has details."""
        sampled = np.flatnonzero(self._batch.rows["sampled"])
        for index, values in zip(sampled.tolist(), self._batch.rows[sampled].tolist(), strict=True):
            details = self._batch["details"][index]
            if details is None:
                self.without_details += 1
                continue
            yield self._span(index, self._facts(index, dict(zip(self._names, values, strict=True)), details))

    def _facts(self, index: int, fields: Mapping[str, Any], details: Details) -> RequestFacts:
        words = {name: names.get(fields[name], "") for name, names in self._words.items()}
        for name in ("resource", "status", "error_type"):
            words[name] = "" if words[name] == OVERFLOWED else words[name]
        return RequestFacts(**words, route=self._route(index), is_encrypted=self._is_encrypted, fields=fields, details=details)

    def _route(self, index: int) -> str:
        """Of the column `route`: text, or numbers whose names are in the schema."""
        if "route" not in self._batch:
            return ""
        value = self._batch["route"][index]
        return value if isinstance(value, str) else self._batch.schema.field("route").names.get(int(value), "")

    def _span(self, index: int, facts: RequestFacts) -> PendingSpan:
        content = describe_request(facts)
        self.unknown += content.unknown
        columns = self._batch.columns
        remote = read_trace_parent(facts.details.trace_parent)
        local, peer = (int(columns[side][index]) if side in columns else UNKNOWN for side in ("local", "peer"))
        body = self._encode(facts, content)
        place = place_of(facts) if facts.role in KINDS else None
        return PendingSpan(local, peer, columns["trace_id"][index], columns["span_id"][index], remote, body, place)

    def _encode(self, facts: RequestFacts, content: SpanContent) -> bytes:
        start = min(max(facts.fields["observed_at"] + self._offset, 0), LATEST)
        span = Span(
            name=valid_text(content.name)[:LONGEST_NAME],
            kind=KINDS.get(facts.role, Span.SPAN_KIND_UNSPECIFIED),
            start_time_unix_nano=start,
            end_time_unix_nano=min(start + facts.fields["duration"], LATEST),
            status=ERROR if content.is_error else None,
        )
        return bytes(span.SerializeToString()) + encode_attributes(content.attributes)


def place_of(facts: RequestFacts) -> RequestPlace:
    process, thread = facts.fields["process"], facts.fields["thread"]
    return RequestPlace(
        facts.role, process << 32 | thread if process and thread else 0, facts.fields["flow"], facts.fields["observed_at"]
    )
