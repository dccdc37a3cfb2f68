"""Heads of HTTP/1.0 and 1.1 messages (RFC 9112): bytes in, what may be known of them out, in a few searches and no loop.

`read_request_head` and `read_response_head` also take the first bytes of a message only, cut anywhere: what is not whole
is then left out, never guessed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from collector.decode.protocols.http_semantics import (
    METHODS,
    read_authority,
    read_host,
    read_method,
    read_path,
    read_target,
    read_trace_parent,
)
from collector.decode.request import Side

# How a body ends, where it is not a number of bytes.
CHUNKED = -1
UNTIL_CLOSE = -2
UNKNOWN_EXTENT = -3  # contradictory lengths, or the head was cut before the line that tells

VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
VERSION_ENDS = {b"HTTP/1.1\r\n": "1.1", b"HTTP/1.0\r\n": "1.0"}
VERSION_BEGINNINGS = {b"HTTP/1.1 ": "1.1", b"HTTP/1.0 ": "1.0"}
STATUSES = {str(status).encode(): status for status in range(100, 1000)}
STATUS_ENDS = (b" ", b"\r", b"\n")
COLON, LINE_FEED = ord(":"), ord("\n")
FOLDS = (b" ", b"\t")  # begin a line that continues the one before (obs-fold)
LENGTH_DIGITS_MAX = 18
HEADER_LINES = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\n\0]*\n(?:[ \t][^\n\0]*\n)*)*\r?\n")
RESPONSE_BEGINNING = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}[ \r\n]")
RESPONSE_EXAMPLE = b"HTTP/1.1 200 "


class RequestHead(NamedTuple):
    """path: url.path, '' unknown or not in the request (CONNECT). server: (server.address or '', server.port or 0).

    body: bytes, or CHUNKED or UNKNOWN_EXTENT. size: bytes of the head with its empty line, 0 when the head was cut.
    path_is_cut: the head ended within the path, which holds its beginning only.
    """

    method: str
    method_original: str
    path: str
    version: str
    server: tuple[str, int]
    trace_parent: str
    body: int
    size: int
    path_is_cut: bool = False
    expects_continue: bool = False


class ResponseHead(NamedTuple):
    """body: as in RequestHead or UNTIL_CLOSE, before what request and status say about it. upgrade: protocol of a 101."""

    status: int
    version: str
    body: int
    size: int
    upgrade: str = ""


def find_head_end(data: bytes, start: int = 0, searched: int = 0) -> int:
    """Where the head that begins at `start` ends, its empty line included; -1: not in `data`. A lone LF ends a line.

    searched: bytes behind `start` that are known not to hold the end.
    """
    begin = max(start, start + searched - 2)
    crlf = data.find(b"\n\r\n", begin)
    lf = data.find(b"\n\n", begin) if crlf < 0 else data.find(b"\n\n", begin, crlf + 1)
    return lf + 2 if lf >= 0 else crlf + 3 if crlf >= 0 else -1


def read_request_head(head: bytes) -> RequestHead | None:
    """`head` begins with a request line and may be cut anywhere or hold more than a head; None: it is no HTTP/1 request.

    A line that is cut before its version is believed when its method is registered and its target is in a usual form.
    """
    end = find_head_end(head)
    if end >= 0:
        return parse_request_head(head[:end])
    if b"\n" not in head:
        return _read_cut_line(head)
    parsed = parse_request_head(head[: head.rfind(b"\n") + 1])
    return parsed and parsed._replace(body=UNKNOWN_EXTENT, size=0)


def parse_request_head(head: bytes) -> RequestHead | None:
    """The same of whole lines: `head` ends with a line feed. None when the first line is no request line."""
    token, _, rest = head.partition(b" ")
    target, _, rest = rest.partition(b" ")
    version = VERSION_ENDS.get(rest[:10])
    method = METHODS.get(token)
    if version is None or method is None or LINE_FEED in target:
        line = _read_unusual_line(head)
        if line is None:
            return None
        method, target, version = line
    lower = head.lower()
    if target[:1] == b"/":
        path, server = read_path(target), read_host(_value_of(b"\nhost:", head, lower))
    else:
        path, server = _read_other_target(method[0], target, head, lower)
    trace_parent = ""
    if lower.find(b"\ntraceparent:") >= 0:
        trace_parent = read_trace_parent(_value_of(b"\ntraceparent:", head, lower))
    body = _read_body(lower, version, 0)
    if body == 0:
        return RequestHead(method[0], method[1], path, version, server, trace_parent, 0, len(head))
    if body == UNTIL_CLOSE:
        body = UNKNOWN_EXTENT  # RFC 9112, 6.3: a request whose last coding is not chunked has no reliable length
    expects = b"100-continue" in _value_of(b"\nexpect:", lower, lower)
    return RequestHead(method[0], method[1], path, version, server, trace_parent, body, len(head), False, expects)


def read_response_head(head: bytes) -> ResponseHead | None:
    """As `read_request_head`, for the answer."""
    end = find_head_end(head)
    if end >= 0:
        return parse_response_head(head[:end])
    newline = head.rfind(b"\n")
    parsed = parse_response_head(head[: newline + 1] if newline >= 0 else head)
    return parsed and parsed._replace(body=UNKNOWN_EXTENT, size=0)


def parse_response_head(head: bytes) -> ResponseHead | None:
    """The same of whole lines. None when the first line is no status line."""
    version = VERSION_BEGINNINGS.get(head[:9])
    status = STATUSES.get(head[9:12])
    if version is None or status is None or head[12:13] not in STATUS_ENDS:
        return None
    lower = head.lower()
    if status == 101:
        return ResponseHead(status, version, 0, len(head), _read_upgrade(lower))
    return ResponseHead(status, version, _read_body(lower, version, UNTIL_CLOSE), len(head))


class HeadMemory:
    """Heads that come again and again are parsed once. Keyed by SipHash, because the bytes hold what must not be kept."""

    def __init__(self, limit: int = 2048) -> None:
        self._limit = limit
        self._requests: dict[int, RequestHead] = {}
        self._responses: dict[int, ResponseHead] = {}

    def request_head(self, head: bytes) -> RequestHead | None:
        """As `parse_request_head`."""
        known = self._requests.get(hash(head))
        if known is not None:
            return known
        if len(self._requests) >= self._limit:
            self._requests.clear()
        parsed = parse_request_head(head)
        if parsed is not None:
            self._requests[hash(head)] = parsed
        return parsed

    def response_head(self, head: bytes) -> ResponseHead | None:
        """As `parse_response_head`."""
        known = self._responses.get(hash(head))
        if known is not None:
            return known
        if len(self._responses) >= self._limit:
            self._responses.clear()
        parsed = parse_response_head(head)
        if parsed is not None:
            self._responses[hash(head)] = parsed
        return parsed


def may_begin(side: Side, data: bytes) -> bool:
    """Whether more bytes can make `data`, which holds no whole head, a head of that side."""
    return may_begin_response(data) if side else may_begin_request(data)


def may_begin_request(data: bytes) -> bool:
    """As `may_begin`, for the client's side: a method, and a version at the end of the line."""
    line, newline, _ = data.partition(b"\n")
    if newline:
        return line.rpartition(b" ")[2].rstrip(b"\r") in VERSIONS and read_method(line.partition(b" ")[0]) is not None
    return read_method(line.partition(b" ")[0]) is not None


def may_begin_response(data: bytes) -> bool:
    """As `may_begin`, for the server's side."""
    return RESPONSE_BEGINNING.match(data + RESPONSE_EXAMPLE[len(data) :]) is not None


def has_regular_lines(head: bytes) -> bool:
    """Whether every line of a whole head behind the first is a header: wanted where a head may be text in a body."""
    return HEADER_LINES.fullmatch(head, head.find(b"\n") + 1) is not None


def _read_cut_line(line: bytes) -> RequestHead | None:
    token, _, target = line.partition(b" ")
    method = METHODS.get(token)
    if method is None or not target.startswith((b"/", b"http://", b"https://", b"*")):
        return None
    target, ended, _ = target.partition(b" ")
    is_cut = not ended and b"?" not in target
    if is_cut and not target.startswith(b"/"):
        return RequestHead(method[0], method[1], "", "", ("", 0), "", UNKNOWN_EXTENT, 0, True)
    path, authority = read_target(target)
    return RequestHead(method[0], method[1], path, "", read_authority(authority), "", UNKNOWN_EXTENT, 0, is_cut)


def _read_unusual_line(head: bytes) -> tuple[tuple[str, str], bytes, str] | None:
    """(method, target, version) of a request line with another method, or spaces where none belong."""
    line = head[: head.find(b"\n")].rstrip(b"\r")
    token, _, rest = line.partition(b" ")
    target, _, protocol = rest.rpartition(b" ")
    version = VERSIONS.get(protocol)
    method = read_method(token)
    return None if version is None or method is None else (method, target, version)


def _read_other_target(method: str, target: bytes, head: bytes, lower: bytes) -> tuple[str, tuple[str, int]]:
    """(url.path, server) of a target that is no path. Its authority wins over Host (RFC 9112, 3.2.2)."""
    if method == "CONNECT":
        return "", read_authority(target)
    path, authority = read_target(target)
    return path, read_authority(authority) if authority else read_host(_value_of(b"\nhost:", head, lower))


def _value_of(name: bytes, head: bytes, lower: bytes) -> bytes:
    """The value of the first header line `name` (with its line feed and colon), b'' when there is none."""
    at = lower.find(name)
    if at < 0:
        return b""
    start = at + len(name)
    return head[start : head.find(b"\n", start)].strip()


def _read_body(lower: bytes, version: str, absent: int) -> int:
    """RFC 9112, 6.3; `absent` when no header says anything. What two recipients could read differently: UNKNOWN_EXTENT."""
    at = lower.find(b"\ncontent-length")
    if lower.find(b"\ntransfer-encoding") < 0:
        if at < 0:
            return absent
        end = lower.find(b"\n", at + 16)
        value = lower[at + 16 : end].strip()
        is_usual = lower[at + 15] == COLON and value.isdigit() and len(value) <= LENGTH_DIGITS_MAX
        if is_usual and lower[end + 1 : end + 2] not in FOLDS and lower.find(b"\ncontent-length", end) < 0:
            return int(value)
    return _weigh_lengths(lower, version, absent)


def _weigh_lengths(lower: bytes, version: str, absent: int) -> int:
    codings = _values_of(b"\ntransfer-encoding", lower)
    lengths = _values_of(b"\ncontent-length", lower)
    if codings is None or lengths is None:
        return UNKNOWN_EXTENT
    if not codings:
        return _agree_on_length(lengths) if lengths else absent
    if lengths or version == "1.0" or codings.count(b"chunked") > 1:
        return UNKNOWN_EXTENT
    if codings[-1] == b"chunked":
        return CHUNKED
    return UNKNOWN_EXTENT if any(b"chunked" in coding for coding in codings) else UNTIL_CLOSE


def _agree_on_length(lengths: list[bytes]) -> int:
    """RFC 9110, 8.6: '5, 5' and repeated lines are one length when all are equal."""
    length = lengths[0]
    if lengths.count(length) != len(lengths) or not length.isdigit() or len(length) > LENGTH_DIGITS_MAX:
        return UNKNOWN_EXTENT
    return int(length)


def _values_of(name: bytes, lower: bytes) -> list[bytes] | None:
    """All list members of the header lines `name`; None when a line is not of the form that all recipients agree on."""
    values: list[bytes] = []
    at = lower.find(name)
    while at >= 0:
        start = at + len(name)
        end = lower.find(b"\n", start)
        following = lower[start : start + 1]
        if following in b" \t\r\n" or lower[end + 1 : end + 2] in FOLDS:
            return None  # space before the colon, a folded line
        if following == b":":
            values.extend(one.strip(b" \t\r") for one in lower[start + 1 : end].split(b","))
        at = lower.find(name, start)
    return values


def _read_upgrade(lower: bytes) -> str:
    value = _value_of(b"\nupgrade:", lower, lower)
    return value.decode("ascii") if value in (b"websocket", b"h2c") else "other"
