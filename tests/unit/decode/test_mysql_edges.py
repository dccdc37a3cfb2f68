"""More of MySQL: what comes after the plain questions."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from conversation_script import C, S, run
from foreign_bytes import FOREIGN, random_bytes
from hostile_streams import fuzz, measure, read_heads
from recorded_streams import read_connections
from test_mysql import (
    COMPRESS,
    DEPRECATE_EOF,
    ERROR,
    NAMES,
    OK,
    PLAIN,
    TLS,
    UNANSWERED,
    UNKNOWN,
    ask,
    column,
    command,
    eof,
    error,
    execute,
    fine,
    greeting,
    login,
    old_result,
    packet,
    prepared,
    query,
    response,
    rows,
    tell,
)

from collector.decode.protocols import mysql
from collector.decode.protocols.mysql import MysqlConversation, read_request_head, read_response_head, recognise
from collector.decode.request import Evidence, Request


def test_command_of_more_than_sixteen_megabytes_is_one_request() -> None:
    text = b"insert into t values ('" + b"x" * (0xFFFFFF - 24)
    asked = [b"\xff\xff\xff\0\3" + text, packet(1, b"secret')")]
    requests, discarded = run(
        MysqlConversation, [*login(), (C, asked[0]), (C, asked[1]), (S, fine(2)), (C, command(14)), (S, fine())]
    )
    assert tell(requests) == [("INSERT", "t", OK, ""), ("PING", "", OK, "")]
    assert (requests[0].request_bytes, requests[0].request_ended_at, discarded) == (len(asked[0] + asked[1]), 5, {})
    empty, _ = run(MysqlConversation, [*login(), (C, asked[0]), (C, packet(1, b"")), (S, fine(2)), (C, command(14)), (S, fine())])
    assert tell(empty) == tell(requests)


def test_row_of_more_than_sixteen_megabytes_is_one_row() -> None:
    row = b"\xff\xff\xff\3\xfe" + b"\0\0\0\1\0\0\0\0" + b"x" * (0xFFFFFF - 9)
    head, tail = packet(1, b"\1") + column(2), packet(4, b"\xfe\0\0\2\0") + fine(5, 2, 0xFE)
    requests, discarded = run(
        MysqlConversation, [*login(PLAIN | DEPRECATE_EOF), (C, query("select 1")), (S, head + row), (S, tail)]
    )
    assert (tell(requests), discarded) == ([("SELECT", "", OK, "")], {})
    assert requests[0].attributes["db.response.returned_rows"] == 1


def test_encryption_compression_and_replication_are_not_read() -> None:
    request_for_tls = packet(1, struct.pack("<IIB", PLAIN | TLS, 1 << 24, 255) + bytes(23))
    assert run(MysqlConversation, [(S, greeting()), (C, request_for_tls), (C, b"\x16\x03\x01" + bytes(99))]) == ([], {"tls": 1})
    assert run(MysqlConversation, [*login(PLAIN | COMPRESS), (C, bytes(99)), (S, bytes(99))]) == ([], {"compressed": 1})
    assert run(MysqlConversation, [*login(), (C, command(0x12, bytes(10))), (S, rows(1, 99))]) == ([], {"replication": 1})


def test_refused_login_is_no_request() -> None:
    assert run(
        MysqlConversation,
        [(S, greeting()), (C, response()), (S, packet(2, b"\xfeplugin\0salt")), (C, packet(3, b"secret")), (S, error(4, 1045))],
    ) == ([], {})
    assert run(MysqlConversation, [(S, packet(0, b"\xff\x10\x04Too many connections"))]) == ([], {})


def test_connection_joined_within_an_answer_begins_with_the_next_command() -> None:
    requests, discarded = run(
        MysqlConversation, [(S, rows(100, 5)[7:]), (S, eof(105)), (C, query("select a from t")), (S, old_result(1))]
    )
    assert tell(requests) == [("SELECT", "t", OK, "")]
    assert set(discarded) <= {"resynchronising", "unexpected"}


def test_unseen_bytes_inside_a_packet_change_nothing() -> None:
    asked = query("insert into t values ('" + "secret" * 3000 + "')")
    row = packet(4, b"\xfc\x70\x17" + b"x" * 6000)
    answer = packet(1, b"\1") + column(2) + eof(3) + row + eof(5)
    requests = ask(
        (C, asked[:9000]),
        (C, len(asked) - 9000),
        (S, fine()),
        (C, query("select a from t")),
        (S, answer[:100]),
        (S, 5800),
        (S, answer[5900:]),
    )
    assert tell(requests) == [("INSERT", "t", OK, ""), ("SELECT", "t", OK, "")]
    assert [request.request_bytes for request in requests] == [len(asked), len(query("select a from t"))]


def test_answer_whose_end_is_unseen_is_unknown_but_ended() -> None:
    answer = old_result(200)
    requests, discarded = run(
        MysqlConversation,
        [*login(), (C, query("select a from t")), (S, answer[:500]), (S, len(answer) - 500), (C, command(14)), (S, fine())],
    )
    assert tell(requests) == [("SELECT", "t", UNKNOWN, ""), ("PING", "", OK, "")]
    assert requests[0].ended_at == 6
    assert discarded == {"skipped": 1}


def test_loss_spoils_at_most_one_request() -> None:
    for side in (C, S):
        conversation = MysqlConversation()
        requests: list[Request] = []
        for number in range(1, 40, 2):
            requests += conversation.feed(C, query("select a from t"), number)
            if number == 21:
                conversation.lose(side)
            requests += conversation.feed(S, old_result(3), number + 1)
        assert len(requests) == 20
        assert sum(request.outcome is UNKNOWN for request in requests) == 1
        assert all(request.ended_at - request.started_at == 1 for request in requests if request.outcome is OK)
        assert conversation.discarded["lost"] == 1


def test_request_without_an_answer_is_unanswered_at_the_end() -> None:
    assert tell(ask((C, query("select sleep(10)")))) == [("SELECT", "", UNANSWERED, "")]
    assert tell(ask((C, query("select 1")[:-3]), capabilities=PLAIN)) == []


def test_memory_is_bounded() -> None:
    conversation = MysqlConversation()
    for number in range(10_000):
        conversation.feed(C, command(0x16, b"select %d from t" % number), 1)
        conversation.feed(S, prepared(number, 0, 0, True), 1)
        conversation.feed(C, command(0x16, b"select 1"), 1) if number > 5000 else None
    assert measure(conversation) < 5_000_000
    for _ in range(100):
        conversation.feed(C, b"\xff\xff\xff\0" + b"x" * 1_000_000, 1)
        conversation.feed(S, b"\xff\xff\xff\1" + b"x" * 1_000_000, 1)
    assert measure(conversation) < 5_000_000


def test_any_change_of_valid_streams_raises_nothing() -> None:
    streams = [[(side, data) for side, _, data in chunks] for name in NAMES for chunks in read_connections("mysql", name)]
    assert fuzz(lambda: MysqlConversation(keep_text=True), streams) > 0


@pytest.mark.parametrize("name", NAMES)
def test_recordings_are_recognised_from_either_side_and_from_any_request(name: str) -> None:
    for chunks in read_connections("mysql", name):
        assert recognise(S, chunks[0][2]) is Evidence.YES
        assert recognise(C, chunks[1][2]) is Evidence.YES
        for (before, _, _), (side, _, data) in pairwise(chunks[3:]):
            if side is C and before is S and data[3] == 0 and data[4] == 3:
                assert recognise(side, data) is Evidence.YES
                assert all(recognise(side, data[:end]) is not Evidence.NO for end in range(1, min(len(data), 60)))


def test_heads_of_any_bytes_are_read_without_an_exception() -> None:
    read_heads(
        mysql, [[(side, data) for side, _, data in chunks] for name in NAMES for chunks in read_connections("mysql", name)]
    )


def test_nothing_else_is_recognised() -> None:
    for what, side, data in FOREIGN + random_bytes():
        assert recognise(side, data) is not Evidence.YES, what
    assert all(recognise(side, data) is Evidence.NO for what, side, data in FOREIGN if what.startswith(("TLS", "SSH", "HTTP")))


def test_heads_are_read_without_a_connection() -> None:
    whole = query("select a from t where b = 'secret'")
    head = read_request_head(whole)
    assert head and (head.operation, head.resource, head.length) == ("SELECT", "t", len(whole))
    cut = read_request_head(whole[:20])
    assert cut and (cut.operation, cut.resource, cut.length) == ("SELECT", "", len(whole))
    ping, executed, closed = (read_request_head(data) for data in (command(14), execute(5), command(0x19, bytes(4))))
    assert ping and executed and closed
    assert (ping.operation, executed.operation, closed.answered) == ("PING", "", False)
    assert read_request_head(b"GET / HTTP/1.1\r\n") is None
    good, bad, begun = (read_response_head(data) for data in (fine(), error(), old_result(5)[:20]))
    assert good and bad and begun
    assert (good.outcome, bad.outcome, bad.status, begun.outcome) == (OK, ERROR, "1062", UNKNOWN)
