from __future__ import annotations

import re

import numpy as np
import pytest
from exchange_rows import CLIENT, SERVER, exchange_batch, exchange_row
from hypothesis import given
from hypothesis import strategies as st

from collector.batch import Batch, Rows
from collector.decode import request_record
from collector.decode.exchanges import ExchangeDecoder
from collector.decode.http_exchanges import many_requests_in
from collector.decode.http_responses import status_after_interim
from collector.decode.protocols.http1_head import read_request_head
from collector.decode.stream_table import CHUNKS, EXCHANGES, IGNORED

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def asked(path: str = "/a", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: example\r\n\r\n".encode()


def answered(status: int) -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()


def words(batch: Batch, name: str) -> list[str]:
    names = batch.schema.field(name).names
    return [names[int(number)] for number in batch[name]]


def test_http_exchanges_become_requests() -> None:
    rows = [exchange_row(asked("/a?token=s3cret"), answered(200)), exchange_row(asked("/b", "POST"), answered(503), flow=2)]
    (batch,) = ExchangeDecoder().decode(exchange_batch(*rows))
    assert words(batch, "protocol") == ["http", "http"]
    assert words(batch, "operation") == ["GET", "POST"]
    assert words(batch, "resource") == ["/a", "/b"]
    assert words(batch, "status") == ["200", "503"]
    assert words(batch, "error_type") == ["", "503"]
    assert words(batch, "outcome") == ["ok", "error"]
    assert batch["duration"].tolist() == [500, 500]
    assert batch["first_byte"].tolist() == [400, 400]
    assert batch["server_port"].tolist() == [80, 80]


def test_client_errors_are_errors_of_the_client_only() -> None:
    rows = [exchange_row(asked(), answered(404), flow=flow, role=role) for flow, role in ((1, CLIENT), (2, SERVER))]
    (batch,) = ExchangeDecoder().decode(exchange_batch(*rows))
    assert words(batch, "error_type") == ["404", ""]


def test_request_without_an_answer_is_unanswered() -> None:
    (batch,) = ExchangeDecoder().decode(exchange_batch(exchange_row(asked(), b"")))
    assert words(batch, "outcome") == ["unanswered"]
    assert batch["duration"].tolist() == [0]


def test_final_status_is_found_behind_interim_answers() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    (batch,) = ExchangeDecoder().decode(exchange_batch(exchange_row(asked(), interim + answered(201))))
    assert words(batch, "status") == ["201"]
    assert status_after_interim(interim) == 0


def test_pipelining_switches_the_connection_to_chunks() -> None:
    decoder = ExchangeDecoder()
    decoder.decode(exchange_batch(exchange_row(asked() * 3, ANSWER * 3, flow=7), exchange_row(asked(), ANSWER, flow=8)))
    assert {(decision.flow, decision.mode) for decision in decoder.take_decisions()} == {(7, CHUNKS), (8, EXCHANGES)}
    assert decoder.take_decisions() == []


def test_body_that_looks_like_a_request_is_no_pipelining() -> None:
    body = asked("/inner")
    request = f"POST /a HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    assert not many_requests_in(request)
    assert many_requests_in(request + asked())


def test_what_nobody_recognises_is_given_up_after_a_few_tries() -> None:
    decoder = ExchangeDecoder()
    for number in range(6):
        assert decoder.decode(exchange_batch(exchange_row(b"\x00\x01binary" * 3, b"\x02answer", started=1000 * number))) == []
    assert [(decision.flow, decision.mode) for decision in decoder.take_decisions()] == [(1, IGNORED)]
    assert decoder.counters()["unrecognised_exchanges"] == 6


def test_silent_connections_are_forgotten() -> None:
    decoder = ExchangeDecoder()
    decoder.decode(exchange_batch(exchange_row(asked(), ANSWER)))
    decoder.expire(10**12)
    assert decoder.counters()["streams_forgotten"] == 1


TARGETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=250).map(lambda path: "/" + path)


@given(st.lists(st.tuples(TARGETS, st.sampled_from(["GET", "PUT", "BREW"]), st.integers(200, 599)), min_size=1, max_size=20))
def test_columns_say_what_the_head_parser_says(exchanges: list[tuple[str, str, int]]) -> None:
    rows = [exchange_row(asked(path, method), answered(status), flow=n) for n, (path, method, status) in enumerate(exchanges)]
    decoder = ExchangeDecoder()
    batches = decoder.decode(exchange_batch(*rows))
    for batch in batches:
        for flow, method, path, status in zip(
            batch["flow"], words(batch, "operation"), words(batch, "resource"), words(batch, "status"), strict=True
        ):
            head = read_request_head(asked(*exchanges[flow][:2])[:192])
            assert head is not None
            assert method == head.method
            assert path == ("" if head.path_is_cut else head.path)
            assert status == str(exchanges[flow][2])


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_taken(request: bytes, response: bytes) -> None:
    decoder = ExchangeDecoder()
    for batch in decoder.decode(exchange_batch(exchange_row(request, response), exchange_row(request, response, flow=2))):
        assert len(batch) <= 2


@given(st.text(st.sampled_from("abcdefghij"), min_size=8, max_size=8))
def test_query_strings_never_reach_the_rows(secret: str) -> None:
    batches = ExchangeDecoder().decode(exchange_batch(exchange_row(asked(f"/p?key={secret}"), ANSWER)))
    seen = [name for batch in batches for entry in batch.schema.fields for name in entry.names.values()]
    assert not any(re.search(secret, name) for name in seen)
    assert not any(secret.encode() in np.ascontiguousarray(batch.rows).tobytes() for batch in batches)


def described(*rows: Rows) -> list[tuple[str, str, str, int]]:
    """(operation, status, outcome, duration) of what these exchanges of one connection become."""
    return [
        (*(words(batch, name)[place] for name in ("operation", "status", "outcome")), int(batch["duration"][place]))
        for batch in ExchangeDecoder().decode(exchange_batch(*rows))
        for place in range(len(batch))
    ]


def test_error_that_was_captured_in_part_is_told_though_the_connection_ends_with_it() -> None:
    """psql ends after a failed statement: nothing that could follow shows that the answer was whole."""
    login = exchange_row(b"\0\0\0\x12\0\3\0\0user\0app\0\0", b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
    said = b"SERROR\0VERROR\0C23505\0M" + b"duplicate key " * 20 + b"\0\0"
    failed = exchange_row(
        b"Q\0\0\0\x21INSERT INTO carts VALUES (1)\0",
        b"E" + (len(said) + 4).to_bytes(4) + said + b"Z\0\0\0\x05I",
        started=5000,
    )
    goodbye = exchange_row(b"X\0\0\0\x04", b"", started=9000)
    goodbye["end"] = 2
    assert described(login, failed, goodbye) == [("INSERT", "23505", "error", 500)]


def test_login_that_was_captured_in_part_is_recognised() -> None:
    """Its last part tells of the program and is longer than what is captured."""
    capabilities = (0x8000 | 0x200).to_bytes(4, "little")
    login = capabilities + bytes(4) + b"\x2d" + bytes(23) + b"root\0\0" + b"\x60program_name=shop" * 20
    first = exchange_row(len(login).to_bytes(3, "little") + b"\1" + login, b"\7\0\0\2\0\0\0\2\0\0\0")
    asked = exchange_row(b"\x0b\0\0\0\3DROP TABLE", b"\7\0\0\1\0\0\0\2\0\0\0", started=5000)
    assert described(first, asked)[0][:1] == ("DROP",)


def test_paths_without_end_are_told_and_forgotten_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are still about keep the words they had."""
    monkeypatch.setattr(request_record, "RESOURCES_MAX", 1000)
    decoder = ExchangeDecoder()
    first: Batch | None = None
    for start in range(0, 3000, 100):
        paths = [f"/item{number}" for number in range(start, start + 100)]
        (batch,) = decoder.decode(exchange_batch(*(exchange_row(asked(path), ANSWER) for path in paths)))
        first = first or batch
        assert words(batch, "resource") == paths
        assert len(batch.schema.field("resource").names) <= 1000
    assert first is not None
    assert words(first, "resource")[:2] == ["/item0", "/item1"]
    assert decoder.counters()["resources_over"] == 0
