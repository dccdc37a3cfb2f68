"""What the first bytes of one request and of one answer tell, without the state of their connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.decode.request import Outcome
from collector.instruments import AttributeValue


@dataclass(frozen=True, slots=True)
class RequestHead:
    """operation, resource, trace_parent, attributes: as in `Request`; operation is '' when only the connection's state knows it.

    length: bytes of the request on the wire, -1 not known. When the exchange has more bytes than that, or than
    the head when it is not known, then there may be several requests in it: read such a connection as a stream.
    answered: false for what the server never answers.
    """

    operation: str
    resource: str = ""
    length: int = -1
    answered: bool = True
    trace_parent: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """outcome: ok or error when the head decides it, else unknown (rows had begun: an error may still follow them)."""

    outcome: Outcome
    status: str = ""
    error_type: str = ""
