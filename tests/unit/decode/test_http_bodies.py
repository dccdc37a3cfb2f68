from __future__ import annotations

import numpy as np
from exchange_rows import exchange_row
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.http_exchanges import HttpExchanges
from collector.decode.request_record import RequestTexts, request_schema

HEAD = b"POST /orders HTTP/1.1\r\nHost: shop\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nServer: there\r\n\r\n"
SCHEMA = request_schema("socket_data", RequestTexts())


def sizes(*pairs: tuple[bytes, bytes]) -> list[tuple[int, int]]:
    source = np.concatenate([exchange_row(asked, answered) for asked, answered in pairs])
    rows = np.zeros(len(pairs), SCHEMA.dtype)
    HttpExchanges(RequestTexts()).fill(source, rows)
    return list(zip(rows["request_body_bytes"].tolist(), rows["response_body_bytes"].tolist(), strict=True))


def test_bodies_are_what_is_behind_the_heads() -> None:
    assert sizes((HEAD, ANSWER), (HEAD + b"x" * 5000, ANSWER + b"y" * 7)) == [(0, 0), (5000, 7)]


def test_unknown_when_the_head_was_not_captured_to_its_end() -> None:
    assert sizes((b"GET / HTTP/1.1\r\nCookie: " + b"c" * 300 + b"\r\n\r\n", ANSWER)) == [(-1, 0)]
    assert sizes((HEAD, b"")) == [(0, -1)]


def test_unknown_behind_an_interim_answer() -> None:
    assert sizes((HEAD, b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER + b"body")) == [(0, -1)]


def test_what_an_earlier_capture_left_behind_is_no_end() -> None:
    source = exchange_row(b"GET / HTTP/1.1\r\nA: b", ANSWER)
    source["request"][0, 40:44] = np.frombuffer(b"\r\n\r\n", np.uint8)
    rows = np.zeros(1, SCHEMA.dtype)
    HttpExchanges(RequestTexts()).fill(source, rows)
    assert rows["request_body_bytes"][0] == -1


@given(st.lists(st.tuples(st.binary(max_size=250), st.lists(st.sampled_from([b"\r", b"\n", b"x"]), max_size=200)), min_size=1))
def test_any_bytes_are_taken_as_a_search_would(pieces: list[tuple[bytes, list[bytes]]]) -> None:
    pairs = [(noise, b"".join(letters)) for noise, letters in pieces]

    def search(message: bytes) -> int:
        end = message[:192].find(b"\r\n\r\n")
        return len(message) - end - 4 if end >= 0 else -1

    found = sizes(*pairs)
    assert [asked for asked, _ in found] == [search(noise) for noise, _ in pairs]
    for (_, answered), (_, message) in zip(found, pairs, strict=True):
        assert answered == search(message)
