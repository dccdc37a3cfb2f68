"""Heads of HTTP/1: targets, lengths that all recipients agree on, cuts anywhere, and nothing secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.protocols.http1_head import (
    CHUNKED,
    UNKNOWN_EXTENT,
    UNTIL_CLOSE,
    find_head_end,
    read_request_head,
    read_response_head,
)

TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FULL = (
    b"POST /orders/1;jsessionid=secret?token=secret HTTP/1.1\r\nHost: Shop.example:8443\r\nAuthorization: secret\r\n"
    b"Content-Length: 12\r\nTraceparent: " + TRACE_PARENT.encode() + b"\r\nExpect: 100-continue\r\n\r\n"
)


def request(*lines: bytes, first: bytes = b"POST /p HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines, b"", b""))


def test_everything_that_may_be_known_is_read() -> None:
    head = read_request_head(FULL + b"the body\n")
    assert head is not None
    assert head == ("POST", "", "/orders/1", "1.1", ("shop.example", 8443), TRACE_PARENT, 12, len(FULL), False, True)
    assert "secret" not in repr(head)


@pytest.mark.parametrize("size", range(len(FULL)))
def test_a_cut_head_is_read_as_far_as_it_goes_and_never_wrong(size: int) -> None:
    head, whole = read_request_head(FULL[:size]), read_request_head(FULL)
    assert whole is not None
    if head is None:
        assert size < len(b"POST /")
        return
    assert (head.method, head.size, head.body) == ("POST", 0, UNKNOWN_EXTENT)
    assert head.path == whole.path or (head.path_is_cut and whole.path.startswith(head.path))
    assert head.trace_parent in ("", whole.trace_parent)
    assert head.server in (("", 0), whole.server)


@pytest.mark.parametrize(
    ("line", "path", "server"),
    [
        (b"GET / HTTP/1.1", "/", ("h", 0)),
        (b"GET /a?b=/c HTTP/1.0", "/a", ("h", 0)),
        (b"GET /a#b HTTP/1.1", "/a", ("h", 0)),
        (b"GET /a%20b/\xc3\xbc\x01 HTTP/1.1", "/a%20b/%C3%BC%01", ("h", 0)),
        (b"GET /a b HTTP/1.1", "/a%20b", ("h", 0)),
        (b"GET http://user:secret@Proxy.test:81/a?b HTTP/1.1", "/a", ("proxy.test", 81)),
        (b"GET https://[::1]:8443 HTTP/1.1", "/", ("::1", 8443)),
        (b"OPTIONS * HTTP/1.1", "*", ("h", 0)),
        (b"CONNECT db.test:5432 HTTP/1.1", "", ("db.test", 5432)),
        (b"GET nonsense HTTP/1.1", "", ("h", 0)),
    ],
)
def test_targets_of_every_form(line: bytes, path: str, server: tuple[str, int]) -> None:
    head = read_request_head(request(b"Host: h", first=line))
    assert head is not None
    assert (head.path, head.server) == (path, server)


@pytest.mark.parametrize(
    ("token", "method", "original"),
    [
        (b"GET", "GET", ""),
        (b"QUERY", "QUERY", ""),
        (b"PROPFIND", "_OTHER", "PROPFIND"),
        (b"get", "_OTHER", ""),
        (b"SECRET", "_OTHER", ""),
    ],
)
def test_methods_come_from_a_bounded_set(token: bytes, method: str, original: str) -> None:
    head = read_request_head(request(first=token + b" / HTTP/1.1"))
    assert head is not None
    assert (head.method, head.method_original) == (method, original)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GET", b"GET ", b"GET /", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO mail\r\n", b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET / RTSP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n", b"GET \n/ HTTP/1.1\r\n\r\n", b"*1\r\n$4\r\nPING\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_is_none(data: bytes) -> None:
    head = read_request_head(data)
    assert head is None or (data == b"GET /" and head.path_is_cut)


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((), 0),
        ((b"Content-Length: 5",), 5),
        ((b"content-length:5 ",), 5),
        ((b"Content-Length: 5, 5",), 5),
        ((b"Content-Length: 5", b"Content-Length: 5"), 5),
        ((b"Content-Length-Hint: 9",), 0),
        ((b"Transfer-Encoding: chunked",), CHUNKED),
        ((b"Transfer-Encoding: gzip, Chunked",), CHUNKED),
        ((b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), CHUNKED),
        # what a front-end and a back-end may read differently
        ((b"Content-Length: 5", b"Content-Length: 6"), UNKNOWN_EXTENT),
        ((b"Content-Length: 5, 6",), UNKNOWN_EXTENT),
        ((b"Content-Length: 5", b"Transfer-Encoding: chunked"), UNKNOWN_EXTENT),
        ((b"Content-Length : 5",), UNKNOWN_EXTENT),
        ((b"Content-Length: +5",), UNKNOWN_EXTENT),
        ((b"Content-Length: 0x5",), UNKNOWN_EXTENT),
        ((b"Content-Length: -1",), UNKNOWN_EXTENT),
        ((b"Content-Length:",), UNKNOWN_EXTENT),
        ((b"Content-Length: 5", b" 6"), UNKNOWN_EXTENT),
        ((b"Content-Length: " + b"9" * 30,), UNKNOWN_EXTENT),
        ((b"Transfer-Encoding: chunked, chunked",), UNKNOWN_EXTENT),
        ((b"Transfer-Encoding: chunked, gzip",), UNKNOWN_EXTENT),
        ((b"Transfer-Encoding: xchunked",), UNKNOWN_EXTENT),
        ((b"Transfer-Encoding: identity",), UNKNOWN_EXTENT),
        ((b"Transfer-Encoding : chunked",), UNKNOWN_EXTENT),
        ((b"Transfer-Encoding:", b" chunked"), UNKNOWN_EXTENT),
    ],
)
def test_lengths_of_requests(lines: tuple[bytes, ...], body: int) -> None:
    head = read_request_head(request(*lines))
    assert head is not None
    assert head.body == body


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((b"Server: x",), UNTIL_CLOSE),
        ((b"Content-Length: 7",), 7),
        ((b"Transfer-Encoding: chunked",), CHUNKED),
        ((b"Transfer-Encoding: gzip",), UNTIL_CLOSE),
        ((b"Content-Length: 7", b"Transfer-Encoding: chunked"), UNKNOWN_EXTENT),
    ],
)
def test_lengths_of_answers(lines: tuple[bytes, ...], body: int) -> None:
    whole = request(*lines, first=b"HTTP/1.1 200 OK")
    head = read_response_head(whole)
    assert head is not None
    assert (head.status, head.version, head.body, head.size) == (200, "1.1", body, len(whole))
    cut = read_response_head(whole[:-1])
    assert cut is not None
    assert (cut.status, cut.body, cut.size) == (200, UNKNOWN_EXTENT, 0)


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"ICY 200 OK\r\n\r\n"]
)
def test_what_is_no_answer_is_none(data: bytes) -> None:
    assert read_response_head(data) is None


def test_folded_and_lone_line_feeds_are_read() -> None:
    head = read_request_head(b"GET /a HTTP/1.1\nX: 1\n  2\nHost: h:1\n\nbody")
    assert head is not None
    assert (head.server, head.size) == (("h", 1), len(b"GET /a HTTP/1.1\nX: 1\n  2\nHost: h:1\n\n"))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "secret",
        TRACE_PARENT.upper(),
        TRACE_PARENT[:-1],
        "ff" + TRACE_PARENT[2:],
        "00-" + "0" * 32 + TRACE_PARENT[35:],
        TRACE_PARENT + "-!",
    ],
)
def test_what_is_no_traceparent_is_dropped(value: str) -> None:
    head = read_request_head(request(b"traceparent: " + value.encode()))
    assert head is not None
    assert head.trace_parent == ""


def test_long_paths_are_bounded() -> None:
    head = read_request_head(request(first=b"GET /" + b"\x80" * 10_000 + b" HTTP/1.1"))
    assert head is not None
    assert len(head.path) == 2048


@given(st.text("\r\nab", max_size=30), st.integers(0, 30))
def test_the_end_of_a_head_does_not_depend_on_what_was_searched_before(text: str, searched: int) -> None:
    data = text.encode()
    before = data[:searched]
    if find_head_end(before) < 0:
        assert find_head_end(data, 0, len(before)) == find_head_end(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for one in (data, b"GET / HTTP/1.1\r\n" + data, b"GET " + data):
        read_request_head(one)
    for one in (data, b"HTTP/1.1 200 OK\r\n" + data):
        read_response_head(one)
