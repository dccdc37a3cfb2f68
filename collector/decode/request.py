"""What a protocol parser finds in the bytes of one connection, whatever the protocol. Plain data and the parser's interface."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from collector.instruments import AttributeValue


class Side(enum.IntEnum):
    """Who sent the bytes: the one that asks or the one that answers."""

    CLIENT = 0
    SERVER = 1


class Outcome(enum.Enum):
    """ok and error: the server answered. unanswered: the connection ended, or the time-out came, before an answer.

    unknown: the answer was there but could not be read (bytes were lost, or the connection is older than the agent).
    """

    OK = "ok"
    ERROR = "error"
    UNANSWERED = "unanswered"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Request:
    """One request and its answer. Holds nothing secret: literals, header values, keys and bodies are gone already.

    protocol: http, grpc, postgresql, mysql, redis, dns, websocket. operation: method, command or statement kind, from a
    bounded set ('' unknown). resource: what it is about before grouping: URL path without query, RPC method, table,
    '' unknown. status: the protocol's own code as text ('200', 'UNAVAILABLE', SQLSTATE), '' none. error_type: OpenTelemetry
    error.type, '' when there was no error. sizes in bytes on the wire, heads included; body sizes -1 when not known.
    Times are boot_ns: first and last byte of the request, first and last byte of the answer; 0 not known.
    attributes: OpenTelemetry span attributes beyond these. trace_parent: W3C traceparent value as it came, '' none.
    """

    protocol: str
    operation: str
    resource: str
    outcome: Outcome
    status: str = ""
    error_type: str = ""
    request_bytes: int = 0
    response_bytes: int = 0
    request_body_bytes: int = -1
    response_body_bytes: int = -1
    started_at: int = 0
    request_ended_at: int = 0
    response_started_at: int = 0
    ended_at: int = 0
    trace_parent: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


class Conversation(Protocol):
    """The parser state of one connection: bytes in, finished requests out. Never raises, whatever the bytes; bounded memory.

    `discarded` counts by reason what could not be used (resynchronised, overlong, unexpected, ...).
    """

    discarded: dict[str, int]

    def feed(self, side: Side, data: bytes, time_ns: int) -> Sequence[Request]:
        """The next bytes of one side in the order they went over the wire; the requests that these bytes finish."""
        ...

    def skip(self, side: Side, size: int, time_ns: int) -> Sequence[Request]:
        """`size` bytes of that side went by unseen (not captured, sendfile): stay in step where framing allows it,
        otherwise resynchronise at the next message that is certainly one."""
        ...

    def lose(self, side: Side) -> None:
        """An unknown number of bytes of that side was lost: forget half messages, resynchronise."""
        ...

    def end(self, time_ns: int) -> Sequence[Request]:
        """The connection closed: what was asked and not answered."""
        ...


class Evidence(enum.IntEnum):
    """How sure `recognise` is. NO is final for these bytes; MAYBE wants more bytes."""

    NO = 0
    MAYBE = 1
    YES = 2
