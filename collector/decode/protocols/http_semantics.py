"""What HTTP/1 and HTTP/2 share: methods, targets, authorities, errors and attributes (OpenTelemetry semantic conventions 1.41).

Query strings, path parameters, user names and the values of headers end here: nothing in this file returns them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from collector.decode.request import Outcome
from collector.instruments import AttributeValue

PATH_LIMIT = 2048  # characters of url.path
HEAD_LIMIT = 32_768  # bytes of one message head or header block that are kept until it is whole
OTHER_METHOD = "_OTHER"

# The values of http.request.method.
KNOWN_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))
# IANA's registry: what may be named in http.request.method_original, since any other token could be a secret.
REGISTERED_METHODS = (
    "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY",
    "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "REBIND", "REPORT",
    "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL", "PURGE", "M-SEARCH",
)  # fmt: skip
METHODS = {name.encode(): (name, "") for name in sorted(KNOWN_METHODS)} | {
    name.encode(): (OTHER_METHOD, name) for name in REGISTERED_METHODS
}

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
PATH_PARAMETERS = re.compile(rb";[^/]*")
FRAGMENT, PARAMETER = ord("#"), ord(";")
UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
SCHEME_AND_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#]*)")
AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.%a-z]{2,64}\]|[0-9A-Za-z._~\-]{1,255})(?::([0-9]{0,5}))?")
TRACE_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[0-9a-f-]{0,64})?")


def http_error_type(status: int, is_client: bool) -> str:
    """error.type of a response, '' when it is no error: 4xx are errors of the client's span only."""
    return str(status) if status >= (400 if is_client else 500) else ""


def http_outcome(status: int) -> Outcome:
    """Of a final response as its server sees it."""
    return Outcome.ERROR if status >= 500 else Outcome.OK


# Status -> (its text, error.type, outcome) as its server sees it.
HTTP_RESULTS = {status: (str(status), http_error_type(status, False), http_outcome(status)) for status in range(100, 1000)}


def read_method(token: bytes) -> tuple[str, str] | None:
    """(http.request.method, http.request.method_original or ''); None when it cannot be a method (RFC 9110, 9.1)."""
    known = METHODS.get(token)
    if known is not None:
        return known
    return (OTHER_METHOD, "") if TOKEN.fullmatch(token) else None


def read_target(target: bytes) -> tuple[str, bytes]:
    """(url.path, authority bytes or b'') of a request target in any form of RFC 9112, 3.2; ('', b'') when it has none."""
    if target.startswith(b"/"):
        return read_path(target), b""
    if target == b"*":
        return "*", b""
    found = SCHEME_AND_AUTHORITY.match(target)
    if found:
        return read_path(target[found.end() :]) or "/", found[1]
    return "", b""


def read_path(target: bytes) -> str:
    """url.path of an origin-form target: no query, no fragment, no path parameters, escaped and bounded; '' if it is none."""
    path = target.partition(b"?")[0]
    if FRAGMENT in path:
        path = path.partition(b"#")[0]
    if PARAMETER in path:
        path = PATH_PARAMETERS.sub(b"", path)  # ;jsessionid=...
    return _escape_path(path) if path[:1] == b"/" else ""


@lru_cache(maxsize=4096)
def _escape_path(path: bytes) -> str:
    text = path[:PATH_LIMIT].decode("latin-1")
    return UNPRINTABLE.sub(lambda found: f"%{ord(found[0]):02X}", text)[:PATH_LIMIT]


@lru_cache(maxsize=4096)
def read_host(authority: bytes) -> tuple[str, int]:
    """(server.address, server.port) of a Host header without user name; ('', 0) when it is none, port 0 when not given."""
    found = AUTHORITY.fullmatch(authority)
    if not found:
        return "", 0
    port = int(found[2] or 0)
    return found[1].decode("ascii").lower().strip("[]"), port if port <= 65_535 else 0


def read_authority(authority: bytes) -> tuple[str, int]:
    """As `read_host`, of an authority that may carry a user name and password."""
    return read_host(authority.rpartition(b"@")[2])


def read_trace_parent(value: bytes) -> str:
    """The W3C traceparent, '' when it is not exactly of that form."""
    return value.decode("ascii") if len(value) <= 128 and TRACE_PARENT.fullmatch(value) else ""


class RequestFacts(Protocol):
    """What the head of a request says; path '' and server ('', 0) when not known."""

    @property
    def method(self) -> str: ...
    @property
    def method_original(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def server(self) -> tuple[str, int]: ...


def http_attributes(head: RequestFacts, scheme: str, status: int) -> dict[str, AttributeValue]:
    """Span attributes of one request; what is not known is left out."""
    attributes: dict[str, AttributeValue] = {"url.scheme": scheme, "http.request.method": head.method, "url.path": head.path}
    if status:
        attributes["http.response.status_code"] = status
    if head.version:
        attributes["network.protocol.version"] = head.version
    if head.method_original:
        attributes["http.request.method_original"] = head.method_original
    address, port = head.server
    if address:
        attributes["server.address"] = address
        if port:
            attributes["server.port"] = port
    if not (head.path and head.method):
        return {name: value for name, value in attributes.items() if value != ""}
    return attributes
