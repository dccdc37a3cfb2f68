"""Heads that come again are known by their hash; whether they are must not show in what is read."""

from __future__ import annotations

import numpy as np
from exchange_rows import exchange_row
from hypothesis import given
from hypothesis import strategies as st

from collector.batch import Column, Rows
from collector.decode.http_exchanges import HttpExchanges
from collector.decode.known_heads import KnownHeads
from collector.decode.request_record import RequestTexts, request_schema

TRACE = b"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
asked = st.sampled_from([
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /x?a=1 HTTP/1.1\r\n" + TRACE + b"\r\n", b"POST /y HTTP/1.1\r\n\r\nb\r\n\r\n",
    b"GET /" + b"long" * 60 + b" HTTP/1.1\r\n\r\n", b"BREW /pot HTTP/1.1\r\n\r\n", b"\x00\x01", b"",
])  # fmt: skip
answered = st.sampled_from([
    b"HTTP/1.1 200 OK\r\n\r\nb", b"HTTP/1.1 404 No\r\nServer: s\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.0 999 ?\r\n\r\n", b"HTTP/1.1 20", b"HTTP/2 200 OK\r\n", b"",
])  # fmt: skip
pairs = st.lists(st.tuples(asked | st.binary(max_size=60), answered | st.binary(max_size=60)), min_size=1, max_size=30)
WORDS = ("operation", "resource", "status", "error_type")
FIELDS = ("outcome", "request_body_bytes", "response_body_bytes")


def filled(exchanges: HttpExchanges, source: Rows) -> tuple[object, ...]:
    texts = exchanges._texts
    rows = np.zeros(len(source), request_schema("socket_data", texts).dtype)
    traces = exchanges.fill(source, rows)
    schema = request_schema("socket_data", texts)
    words = [[schema.field(name).names[number] for number in rows[name].tolist()] for name in WORDS]
    return words, [rows[name].tolist() for name in FIELDS], traces.keys.tolist(), traces.sampled.tolist()


@given(pairs)
def test_known_heads_say_what_reading_line_by_line_says(exchanged: list[tuple[bytes, bytes]]) -> None:
    source = np.concatenate([exchange_row(*pair) for pair in exchanged])
    by_heads, by_lines = HttpExchanges(RequestTexts()), HttpExchanges(RequestTexts())
    for heads in (by_lines._requests._heads, by_lines._responses._heads):
        heads.find = lambda heads, captured: None  # type: ignore[method-assign]
    by_lines_found = filled(by_lines, source)
    assert filled(by_heads, source) == by_lines_found
    assert filled(by_heads, source) == by_lines_found  # now known
    assert by_heads.unreadable == 2 * by_lines.unreadable


def heads_of(texts: list[bytes]) -> tuple[Column, Column]:
    return np.array([np.frombuffer(text.ljust(64, b"\0"), np.uint8) for text in texts]), np.array([len(text) for text in texts])


def test_each_head_is_read_once_and_what_lies_behind_the_capture_is_no_part_of_it() -> None:
    read: list[bytes] = []
    known = KnownHeads(lambda head: (read.append(head) or len(head), 7))  # type: ignore[func-returns-value]
    heads, captured = heads_of([b"one", b"three", b"one", b"one"])
    captured[3] = 2
    found = known.find(heads, captured)
    assert found is not None
    assert found.tolist() == [[3, 5, 3, 2], [7, 7, 7, 7]]
    known.find(heads, captured)
    assert sorted(read) == [b"on", b"one", b"three"]


def test_a_batch_of_ever_new_heads_is_left_to_the_columns() -> None:
    heads, captured = heads_of([b"head %d" % number for number in range(400)])
    assert KnownHeads(lambda head: (0,)).find(heads, captured) is None


def test_memory_is_bounded() -> None:
    known = KnownHeads(lambda head: (0,), limit=10)
    for number in range(50):
        known.find(*heads_of([b"head %d" % number]))
    assert len(known._known) <= 10
