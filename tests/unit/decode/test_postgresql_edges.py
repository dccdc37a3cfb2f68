"""More of PostgreSQL: what comes after the plain questions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from conversation_script import C, S, run
from foreign_bytes import FOREIGN, random_bytes
from hostile_streams import fuzz, measure, read_heads
from recorded_streams import read_connections
from test_postgresql import (
    COLUMNS,
    ERROR,
    LOGIN,
    NAMES,
    OK,
    PARSED,
    READY,
    ROW,
    SYNC,
    UNANSWERED,
    UNKNOWN,
    ask,
    bind,
    complete,
    error,
    execute,
    message,
    parse,
    query,
    tell,
)

from collector.decode.protocols import postgresql
from collector.decode.protocols.postgresql import PostgresqlConversation, read_request_head, read_response_head, recognise
from collector.decode.request import Evidence, Request


def test_unseen_heads_of_rows_lose_neither_the_end_nor_the_next_request() -> None:
    rows = message(b"D", b"x" * 100) * 100
    requests, discarded = run(
        PostgresqlConversation,
        [
            *LOGIN,
            (C, query("select * from t")),
            (S, COLUMNS + rows[:1000]),
            (S, len(rows) - 2000),
            (S, rows[-1000:] + complete("SELECT 100") + READY),
            (C, query("select * from u")),
            (S, COLUMNS + complete("SELECT 0") + READY),
        ],
    )
    assert tell(requests) == [("SELECT", "t", OK, ""), ("SELECT", "u", OK, "")]
    assert requests[0].ended_at == 6
    assert "db.response.returned_rows" not in requests[0].attributes
    assert discarded == {"skipped": 1}


def test_error_at_the_end_of_half_seen_rows_is_seen() -> None:
    rows = message(b"D", b"x" * 100) * 100
    requests, _ = run(
        PostgresqlConversation,
        [(C, query("select 1")), (S, COLUMNS + rows[:1000]), (S, 8000), (S, rows[-1000:] + error("57014") + READY)],
    )
    assert tell(requests) == [("SELECT", "", ERROR, "57014")]


def test_answer_whose_end_is_unseen_is_unknown_but_ended() -> None:
    requests, _ = run(
        PostgresqlConversation,
        [
            *LOGIN,
            (C, query("select * from t")),
            (S, COLUMNS + ROW),
            (S, 500),
            (C, query("select * from u")),
            (S, complete("SELECT 0") + READY),
        ],
    )
    assert tell(requests) == [("SELECT", "t", UNKNOWN, ""), ("SELECT", "u", OK, "")]
    assert requests[0].ended_at == 5


def test_loss_is_counted_and_later_requests_are_right() -> None:
    for side in (C, S):
        conversation = PostgresqlConversation()
        requests: list[Request] = []
        for number in range(1, 40, 2):
            if number == 21:
                conversation.lose(side)
            requests += conversation.feed(C, query(f"select * from t{number}"), number)
            requests += conversation.feed(S, COLUMNS + complete("SELECT 0") + READY, number + 1)
        assert len(requests) >= 19
        assert all(r.outcome is OK and r.ended_at - r.started_at == 1 for r in requests if r.outcome is not UNKNOWN)
        assert sum(r.outcome is UNKNOWN for r in requests) <= 1
        assert conversation.discarded["lost"] == 1


def test_request_without_an_answer_is_unanswered_at_the_end() -> None:
    assert tell(ask((C, query("select pg_sleep(10)")))) == [("SELECT", "", UNANSWERED, "")]
    assert tell(ask((C, query("select 1")[:-3]))) == []


def test_memory_is_bounded_whatever_a_client_prepares_or_asks() -> None:
    conversation = PostgresqlConversation(keep_text=True)
    for number in range(20_000):
        conversation.feed(
            C,
            parse("select 1", f"statement {number} " + "x" * 5000) + bind("", f"portal {number} " + "y" * 5000) + execute(),
            number,
        )
    assert measure(conversation) < 8_000_000
    assert conversation.discarded["too_many_outstanding"] > 0
    for _ in range(100):
        conversation.feed(C, message(b"Q", b"x" * (1 << 20)), 1)
        conversation.feed(S, message(b"D", b"x" * (1 << 20))[:-1], 1)
    assert measure(conversation) < 8_000_000


def test_any_change_of_valid_streams_raises_nothing() -> None:
    streams = [[(side, data) for side, _, data in chunks] for name in NAMES for chunks in read_connections("postgresql", name)]
    assert fuzz(lambda: PostgresqlConversation(keep_text=True), streams) > 0


@pytest.mark.parametrize("name", NAMES)
def test_recordings_are_recognised_from_either_side_and_from_any_request(name: str) -> None:
    for chunks in read_connections("postgresql", name):
        assert recognise(C, next(data for side, _, data in chunks if side == C)) is Evidence.YES
        for (before, _, _), (side, _, data) in pairwise(chunks):
            if side is C and before is S and data[:1] in b"QPB" and data != query(";"):
                assert recognise(side, data) is Evidence.YES
                assert all(recognise(side, data[:end]) is not Evidence.NO for end in range(1, min(len(data), 60)))


def test_heads_of_any_bytes_are_read_without_an_exception() -> None:
    read_heads(
        postgresql,
        [[(side, data) for side, _, data in chunks] for name in NAMES for chunks in read_connections("postgresql", name)],
    )


def test_nothing_else_is_recognised() -> None:
    for what, side, data in FOREIGN + random_bytes():
        assert recognise(side, data) is not Evidence.YES, what
    assert all(recognise(side, data) is Evidence.NO for what, side, data in FOREIGN if what in ("TLS", "SSH", "HTTP"))


def test_heads_are_read_without_a_connection() -> None:
    head = read_request_head(query("select * from t where a = 'secret'")[:24])
    assert head
    assert (head.operation, head.resource, head.length) == ("SELECT", "", len(query("select * from t where a = 'secret'")))
    prepared = read_request_head(parse("select * from t") + bind() + execute() + SYNC)
    assert prepared and (prepared.operation, prepared.resource, prepared.length) == ("SELECT", "t", -1)
    known_elsewhere = read_request_head(bind("s1") + execute() + SYNC)
    assert known_elsewhere and known_elsewhere.operation == ""
    assert read_request_head(b"GET / HTTP/1.1\r\n") is None
    good, bad, open_end = (read_response_head(data) for data in (complete("SELECT 1"), PARSED + error("42P01"), COLUMNS + ROW))
    assert good and bad and open_end
    assert (good.outcome, bad.outcome, bad.status, open_end.outcome) == (OK, ERROR, "42P01", UNKNOWN)
    assert read_response_head(b"HTTP/1.1 200 OK") is None
