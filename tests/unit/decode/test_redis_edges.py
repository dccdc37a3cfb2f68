"""More of Redis: what comes after the plain commands."""

from __future__ import annotations

from itertools import pairwise

import pytest
from conversation_script import C, S, run
from foreign_bytes import FOREIGN, random_bytes
from hostile_streams import fuzz, measure, read_heads
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_streams import read_connections
from test_redis import ERROR, FINE, GET, NAMES, NONE, OK, ONE, SET, UNANSWERED, UNKNOWN, ask, command, tell, values

from collector.decode.protocols import redis
from collector.decode.protocols.redis import RedisConversation, read_request_head, read_response_head, recognise
from collector.decode.protocols.resp import KEPT_BYTES, ValueReader
from collector.decode.request import Evidence, Request


def test_after_a_loss_nothing_is_guessed_while_requests_overlap() -> None:
    conversation = RedisConversation()
    requests: list[Request] = []
    for number in range(1, 60, 2):  # always one request ahead
        requests += conversation.feed(C, GET if number > 1 else GET * 2, number)
        if number == 21:
            conversation.lose(S)
        requests += conversation.feed(S, NONE, number + 1)
    assert all(request.outcome is UNKNOWN for request in requests if request.started_at > 21)
    requests = [*conversation.feed(S, NONE, 61), *conversation.feed(C, GET, 62), *conversation.feed(S, NONE, 63)]
    assert {request.outcome for request in requests} == {UNKNOWN}
    conversation.feed(C, GET, 2_000_000_000)
    assert [request.outcome for request in conversation.feed(S, NONE, 2_000_000_001)] == [OK]


def test_client_that_waits_again_is_trusted_again() -> None:
    conversation = RedisConversation()
    script = [(C, GET * 2), (S, NONE), (C, GET), (S, NONE * 2), *[(C, GET), (S, NONE)] * 10]
    for time, (side, data) in enumerate(script):
        conversation.feed(side, data, time)
    conversation.lose(S)
    requests = [
        *conversation.feed(C, GET, 100),
        *conversation.feed(S, NONE, 101),
        *conversation.feed(C, GET, 102),
        *conversation.feed(S, NONE, 103),
    ]
    assert [request.outcome for request in requests] == [OK, OK]


def test_connection_joined_within_an_answer_begins_with_the_next_command() -> None:
    requests, discarded = run(RedisConversation, [(S, b"x" * 50 + b"\r\n"), (S, NONE), (C, GET), (S, ONE)])
    assert tell(requests) == [("GET", OK, "")]
    assert sum(discarded.values()) > 0


def test_answers_to_what_was_asked_before_are_counted() -> None:
    requests, discarded = run(RedisConversation, [(S, NONE + ONE), (C, GET), (S, ONE)])
    assert tell(requests) == [("GET", OK, "")]
    assert discarded == {"unmatched_answer": 2}


def test_request_without_an_answer_is_unanswered_at_the_end() -> None:
    assert tell(ask((C, GET + SET[:-3]))) == [("GET", UNANSWERED, "")]


def test_memory_is_bounded() -> None:
    conversation = RedisConversation()
    for _ in range(500):
        conversation.feed(C, GET * 100, 1)
    assert conversation.discarded["too_many_outstanding"] > 0
    assert measure(conversation) < 5_000_000
    conversation = RedisConversation()
    for _ in range(100):
        conversation.feed(C, b"*2\r\n$3\r\nGET\r\n$1000000000\r\n" if _ == 0 else b"x" * 100_000, 1)
        conversation.feed(S, b"+" + b"x" * 100_000, 1)
    assert measure(conversation) < 10_000
    conversation = RedisConversation()
    conversation.feed(C, GET, 1)
    for _ in range(100):
        conversation.feed(S, b"*?\r\n", 1)
    assert measure(conversation) < 10_000


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=6), st.lists(st.integers(0, 400), max_size=6))
def test_values_end_where_they_end_for_every_cut(whole: list[bytes], cuts: list[int]) -> None:
    data = b"".join(whole)
    reader = ValueReader(commands=False)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = [value for start, end in pairwise(edges) for value in reader.cut(data[start:end], 1)]
    assert [(size, text[start : start + min(size, KEPT_BYTES)]) for text, start, size, _ in found] == [
        (len(value), value[:KEPT_BYTES]) for value in whole
    ]
    assert reader.in_step and reader.kind == 0


def test_any_change_of_valid_streams_raises_nothing() -> None:
    streams = [[(side, data) for side, _, data in chunks] for name in NAMES for chunks in read_connections("redis", name)]
    assert fuzz(RedisConversation, streams) > 0


@pytest.mark.parametrize("name", NAMES)
def test_recordings_are_recognised(name: str) -> None:
    for chunks in read_connections("redis", name):
        asked = next(data for side, _, data in chunks if side == C)
        assert recognise(C, asked) is (Evidence.YES if asked[:1] == b"*" else Evidence.MAYBE)
        assert all(recognise(C, asked[:end]) is not Evidence.NO for end in range(1, min(len(asked), 40)) if asked[:1] == b"*")
        assert all(recognise(side, data) is not Evidence.NO for side, _, data in chunks[:2])


def test_heads_of_any_bytes_are_read_without_an_exception() -> None:
    read_heads(
        redis, [[(side, data) for side, _, data in chunks] for name in NAMES for chunks in read_connections("redis", name)]
    )


def test_nothing_else_is_recognised() -> None:
    for what, side, data in FOREIGN + random_bytes():
        assert recognise(side, data) is not Evidence.YES, what
    assert all(recognise(side, data) is Evidence.NO for what, side, data in FOREIGN if what.startswith(("TLS", "SSH", "HTTP")))
    assert recognise(S, b"+OK POP3 server ready\r\n") is Evidence.MAYBE
    assert recognise(C, b"PING\r\n") is Evidence.MAYBE


def test_heads_are_read_without_a_connection() -> None:
    whole = read_request_head(SET + GET)
    assert whole and (whole.operation, whole.length) == ("SET", len(SET))
    begun = read_request_head(command(b"SET", b"k", b"v" * 1000)[:64])
    assert begun and (begun.operation, begun.length) == ("SET", len(command(b"SET", b"k", b"v" * 1000)))
    several = read_request_head(command(b"MSET", b"k" * 100, b"v", b"l", b"v")[:64])
    assert several and (several.operation, several.length) == ("MSET", -1)
    assert read_request_head(b"GET / HTTP/1.1\r\n") is None
    assert read_request_head(b"\x16\x03\x01\x02\x00") is None
    answers = [read_response_head(data) for data in (FINE, b"-MOVED 1 x:1\r\n", b"$1000\r\nxxx", b"!9\r\nERR words\r\n")]
    assert [(answer.outcome, answer.status) for answer in answers if answer] == [
        (OK, ""),
        (ERROR, "MOVED"),
        (OK, ""),
        (ERROR, "ERR"),
    ]
    assert read_response_head(b"HTTP/1.1 200 OK\r\n") is None
