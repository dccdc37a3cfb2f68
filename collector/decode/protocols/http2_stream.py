"""One stream of HTTP/2: what was asked on it and how it was answered, as plain HTTP or as a gRPC call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.decode.protocols.grpc import (
    STATUS_OF_HTTP,
    STATUS_OF_RESET,
    grpc_attributes,
    grpc_error_type,
    grpc_status_name,
    is_grpc,
    read_grpc_method,
    read_grpc_status,
)
from collector.decode.protocols.hpack import HeaderBlock, Reading
from collector.decode.protocols.http_semantics import (
    OTHER_METHOD,
    http_attributes,
    http_error_type,
    http_outcome,
    read_authority,
    read_host,
    read_method,
    read_target,
    read_trace_parent,
)
from collector.decode.request import Outcome, Request, Side

RESET_NAMES = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip
NOT_GRPC, MAYBE_GRPC, GRPC = range(3)


def _read_scheme(value: bytes) -> str:
    return value.decode("ascii") if value in (b"http", b"https") else ""


def _read_status(value: bytes) -> int:
    return int(value) if len(value) == 3 and value.isdigit() else 0


READERS: dict[bytes, Callable[[bytes], Any]] = {
    b":method": lambda value: read_method(value) or (OTHER_METHOD, ""),
    b":path": lambda value: read_target(value)[0],
    b":scheme": _read_scheme,
    b":authority": read_authority,
    b":status": _read_status,
    b"host": read_host,
    b"content-type": is_grpc,
    b"traceparent": read_trace_parent,
    b"grpc-status": read_grpc_status,
}
READING = Reading(READERS)


def is_trailer(block: HeaderBlock | None) -> bool:
    """Whether a header block certainly begins no message: all of it is known, and no pseudo-header is there."""
    return block is not None and not block.unknown and not any(name.startswith(b":") for name, _ in block.fields)


class Stream:
    """Indexed by side: bytes on the wire, body (-1 not known), ended (boot_ns, 0 not known)."""

    __slots__ = (
        "answer_started", "asked", "body", "bytes", "call_status", "ended", "kind", "method", "method_original",
        "missed", "path", "reset_by", "reset_code", "scheme", "server", "started", "status", "trace_parent", "version",
    )  # fmt: skip

    def __init__(self, started: int, scheme: str) -> None:
        self.method = self.method_original = self.path = self.trace_parent = ""
        self.scheme = scheme
        self.server = ("", 0)
        self.version = "2"
        self.kind = MAYBE_GRPC  # until the content type is known, or known not to be there
        self.status = 0
        self.call_status = -1
        self.asked = False
        self.missed = False  # frames of this stream may have been lost
        self.reset_by: Side | None = None
        self.reset_code = 0
        self.bytes = [0, 0]
        self.body = [0, 0]
        self.ended = [0, 0]
        self.started = started
        self.answer_started = 0

    def read_request(self, block: HeaderBlock | None) -> None:
        """The head of the request; None: it could not be read."""
        fields = dict(block.fields) if block else {}
        self.method, self.method_original = fields.get(b":method", ("", ""))
        self.path = fields.get(b":path", "")
        self.scheme = fields.get(b":scheme") or self.scheme
        self.server = fields.get(b":authority") or fields.get(b"host", ("", 0))
        self.trace_parent = fields.get(b"traceparent", "")
        self._weigh_content_type(block, fields)

    def read_answer(self, block: HeaderBlock | None, started: int) -> None:
        """Interim answer, head of the answer, or trailers."""
        fields = dict(block.fields) if block else {}
        if b"grpc-status" in fields:
            self.call_status = fields[b"grpc-status"]
            self.kind = GRPC
        status = fields.get(b":status", 0)
        if self.status or 100 <= status < 200 or is_trailer(block):
            return
        self.status = status
        if status or not self.answer_started:
            self.answer_started = started
        if self.kind == MAYBE_GRPC:
            self._weigh_content_type(block, fields)

    def _weigh_content_type(self, block: HeaderBlock | None, fields: dict[bytes, Any]) -> None:
        if b"content-type" in fields:
            self.kind = GRPC if fields[b"content-type"] else NOT_GRPC
        elif block is not None and not block.unknown:
            self.kind = NOT_GRPC

    def pass_bytes(self, side: Side, size: int, time_ns: int) -> None:
        """`size` more bytes on the wire."""
        self.bytes[side] += size
        self.ended[side] = time_ns

    def request(self, outcome: Outcome | None = None) -> Request:
        """As it is now. outcome: None when the answer, or a reset, ended the stream."""
        if self.kind == GRPC:
            status, error_type, outcome = self._call_result(outcome)
            resource = read_grpc_method(self.path)
            attributes = grpc_attributes(resource, status, self.server)
        else:
            status, error_type, outcome = self._http_result(outcome)
            resource = self.path
            attributes = http_attributes(self, self.scheme, self.status)
        return Request(
            "grpc" if self.kind == GRPC else "http",
            self.method,
            resource,
            outcome,
            status,
            error_type,
            self.bytes[0],
            self.bytes[1],
            self.body[0] if self.asked else -1,
            self.body[1] if self.answer_started else -1,
            self.started,
            self.ended[0] if self.asked else 0,
            self.answer_started,
            self.ended[1],
            self.trace_parent,
            attributes,
        )

    def _was_reset(self) -> bool:
        """The reset says how the stream ended; not so when the answer, or its end, may have been among lost frames."""
        return self.reset_by is not None and not self.missed

    def _http_result(self, outcome: Outcome | None) -> tuple[str, str, Outcome]:
        """(status, error type, outcome)."""
        if self.status:
            return str(self.status), self._reset_error() or http_error_type(self.status, False), self._http_outcome()
        if self._was_reset():
            return "", self._reset_error(), Outcome.ERROR if self.reset_by else Outcome.UNANSWERED
        return "", "", self._unanswered(outcome)

    def _unanswered(self, outcome: Outcome | None) -> Outcome:
        return Outcome.UNKNOWN if self.missed or outcome is None else outcome

    def _http_outcome(self) -> Outcome:
        return Outcome.ERROR if self.reset_by is Side.SERVER and self.reset_code else http_outcome(self.status)

    def _reset_error(self) -> str:
        """error.type when the server broke the stream off, or the client did before there was an answer."""
        if self.reset_by is None or self.reset_code == 0 or (self.reset_by is Side.CLIENT and self.status):
            return ""
        return RESET_NAMES[self.reset_code] if 0 < self.reset_code < len(RESET_NAMES) else "_OTHER"

    def _call_result(self, outcome: Outcome | None) -> tuple[str, str, Outcome]:
        code = self.call_status
        if code < 0 and self.status not in (0, 200):
            code = STATUS_OF_HTTP.get(self.status, 2)
        if code < 0 and self._was_reset():
            code = STATUS_OF_RESET.get(self.reset_code, 13)
            if self.reset_by is Side.CLIENT:
                return grpc_status_name(code), self._reset_error(), Outcome.UNANSWERED
            return grpc_status_name(code), grpc_status_name(code), Outcome.ERROR
        if code < 0:
            return "", "", self._unanswered(outcome)
        error_type = grpc_error_type(code, is_client=False)
        return grpc_status_name(code), error_type, Outcome.ERROR if error_type else Outcome.OK
