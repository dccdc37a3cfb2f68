"""gRPC over HTTP/2: what makes a stream a call, its status, and when that is an error (gRPC's PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import re

from collector.instruments import AttributeValue

# Position is the code; names as in rpc.response.status_code.
STATUS_NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
SERVER_ERRORS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
CONTENT_TYPE = re.compile(rb"application/grpc(?:[+; ].*)?", re.IGNORECASE | re.DOTALL)  # gRPC-Web is another protocol
METHOD = re.compile(r"/([A-Za-z_][\w.]{0,255}/[A-Za-z_]\w{0,127})", re.ASCII)
# What a client makes of an answer that is not gRPC's (http-grpc-status-mapping.md) and of a reset; all else: UNKNOWN, INTERNAL.
STATUS_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
STATUS_OF_RESET = {7: 14, 8: 1, 11: 8, 12: 7}
MESSAGE_PREFIX_BYTES = 5


def is_grpc(content_type: bytes) -> bool:
    """Whether a message of this type is part of a call."""
    return CONTENT_TYPE.fullmatch(content_type) is not None


def read_grpc_method(path: str) -> str:
    """package.Service/Method of a :path, '' when it is none."""
    found = METHOD.fullmatch(path)
    return found[1] if found else ""


def read_grpc_status(value: bytes) -> int:
    """The code in grpc-status, -1 when it is none."""
    return int(value) if value.isdigit() and len(value) <= 3 else -1


def grpc_status_name(code: int) -> str:
    """rpc.response.status_code, the number as text for codes that gRPC does not have."""
    return STATUS_NAMES[code] if 0 <= code < len(STATUS_NAMES) else str(code)


def grpc_error_type(code: int, is_client: bool) -> str:
    """error.type of a call, '' when it is no error: for a client all but OK, for a server not the faults of its caller."""
    name = grpc_status_name(code)
    if name == "OK" or (not is_client and name not in SERVER_ERRORS and code < len(STATUS_NAMES)):
        return ""
    return name


def is_grpc_message(beginning: bytes, is_padded: bool, size: int) -> bool:
    """Whether a DATA frame of `size` bytes is exactly one length-prefixed message, as most are; needs its first six bytes."""
    offset = 1 if is_padded else 0
    prefix = beginning[offset : offset + MESSAGE_PREFIX_BYTES]
    padding = 1 + beginning[0] if is_padded and beginning else 0
    if len(prefix) < MESSAGE_PREFIX_BYTES or prefix[0] > 1:
        return False
    return int.from_bytes(prefix[1:], "big") + MESSAGE_PREFIX_BYTES == size - padding


def grpc_attributes(method: str, status: str, server: tuple[str, int]) -> dict[str, AttributeValue]:
    """Span attributes of one call; what is not known ('') is left out."""
    attributes: dict[str, AttributeValue] = {"rpc.system.name": "grpc", "network.protocol.version": "2"}
    if method:
        attributes["rpc.method"] = method
    if status:
        attributes["rpc.response.status_code"] = status
    if server[0]:
        attributes["server.address"] = server[0]
        if server[1]:
            attributes["server.port"] = server[1]
    return attributes
