"""HTTP/2 conversations: streams, header tables, resets, connections older than the agent. The same however they are cut."""

from __future__ import annotations

import pytest
from conversation_script import C, S, Script, Step, assert_same_for_every_cut, run
from http2_wire import (
    CLIENT_START,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING_FRAME,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS_ACK,
    SETTINGS_FRAME,
    WINDOW,
    HeaderWriter,
    answer,
    ask,
    frame,
)

from collector.decode.protocols.http1 import Http1Conversation
from collector.decode.protocols.http2 import STREAMS_MAX, Http2Conversation, recognise
from collector.decode.request import Evidence, Outcome, Request, Side

TRACE_PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(*script: Step) -> list[Request]:
    return assert_same_for_every_cut(Http2Conversation, script, seeds=range(10))


def short(requests: list[Request]) -> list[tuple[str, str, str]]:
    return [(one.operation, one.resource, one.status or one.outcome.value) for one in requests]


def test_interleaved_streams_with_all_their_numbers() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    first = client.headers(1, ask(b"/a?x=secret", (b"authorization", b"secret")), END_STREAM)
    second = client.headers_in_pieces(3, ask(b"/b", (b"traceparent", TRACE_PARENT), method=b"POST"), 9)
    requests = read(
        (C, CLIENT_START + first + second + frame(PRIORITY, 0, 5, b"\0\0\0\0\x10")),
        (S, SETTINGS_FRAME + SETTINGS_ACK + server.headers(3, [(b":status", b"103"), (b"link", b"</a>")])),
        (C, SETTINGS_ACK + WINDOW + frame(DATA, 0, 3, b"x" * 10)),
        (S, server.headers(1, answer(b"404")) + frame(DATA, PADDED, 1, b"\4body\0\0\0\0")),
        (C, PING_FRAME + frame(DATA, END_STREAM | PADDED, 3, b"\2yy\0\0")),
        (S, server.headers(3, answer(b"500"), END_STREAM) + frame(DATA, END_STREAM, 1)),
    )
    assert short(requests) == [("POST", "/b", "500"), ("GET", "/a", "404")]
    post, get = requests
    assert (post.request_body_bytes, post.response_body_bytes, post.outcome, post.error_type) == (12, 0, Outcome.ERROR, "500")
    assert (post.started_at, post.request_ended_at, post.response_started_at, post.ended_at) == (1, 5, 6, 6)
    assert post.trace_parent == TRACE_PARENT.decode()
    assert post.request_bytes == len(second) + 19 + 14
    assert (get.request_bytes, get.response_body_bytes, get.response_started_at, get.ended_at) == (len(first), 4, 4, 6)
    assert get.attributes == {
        "http.request.method": "GET",
        "url.path": "/a",
        "url.scheme": "http",
        "http.response.status_code": 404,
        "network.protocol.version": "2",
        "server.address": "svc",
        "server.port": 8080,
    }


def test_trailers_end_a_request_and_an_answer() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    asked = client.headers(1, ask(b"/t")) + frame(DATA, 0, 1, b"abc") + client.headers(1, [(b"x-sum", b"1")], END_STREAM)
    answered = server.headers(1, answer(b"200")) + frame(DATA, 0, 1, b"ok") + server.headers(1, [(b"x-sum", b"2")], END_STREAM)
    (one,) = read((C, CLIENT_START + asked), (S, SETTINGS_FRAME + answered))
    assert (one.status, one.request_body_bytes, one.response_body_bytes) == ("200", 3, 2)
    assert (one.request_bytes, one.response_bytes) == (len(asked), len(answered))


@pytest.mark.parametrize(
    ("side", "code", "has_head", "status", "outcome", "error_type"),
    [
        (C, 8, False, "", Outcome.UNANSWERED, "CANCEL"),
        (C, 8, True, "200", Outcome.OK, ""),
        (S, 7, False, "", Outcome.ERROR, "REFUSED_STREAM"),
        (S, 2, True, "200", Outcome.ERROR, "INTERNAL_ERROR"),
        (S, 0, True, "200", Outcome.OK, ""),
        (S, 99, False, "", Outcome.ERROR, "_OTHER"),
    ],
)
def test_reset_streams_are_requests_without_an_answer(
    side: Side, code: int, has_head: bool, status: str, outcome: Outcome, error_type: str
) -> None:
    client, server = HeaderWriter(), HeaderWriter()
    head = server.headers(1, answer(b"200")) if has_head else b""
    reset = frame(RST_STREAM, 0, 1, code.to_bytes(4, "big"))
    (one,) = read((C, CLIENT_START + client.headers(1, ask(b"/r"))), (S, SETTINGS_FRAME + head), (side, reset))
    assert (one.status, one.outcome, one.error_type) == (status, outcome, error_type)


def test_go_away_leaves_newer_streams_unanswered() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    asked = b"".join(client.headers(number, ask(b"/%d" % number), END_STREAM) for number in (1, 3, 5))
    leave = frame(GOAWAY, 0, 0, b"\0\0\0\3" + bytes(4) + b"secret")
    requests = read((C, CLIENT_START + asked), (S, SETTINGS_FRAME + leave + server.headers(3, answer(b"200"), END_STREAM)))
    assert short(requests) == [("GET", "/5", "unanswered"), ("GET", "/3", "200"), ("GET", "/1", "unanswered")]


def test_pushed_answers_are_requests_of_their_own() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    promise = frame(PUSH_PROMISE, END_HEADERS | PADDED, 1, b"\1\0\0\0\2" + server.block(ask(b"/p.css")) + b"\0")
    pushed = server.headers(2, answer(b"200")) + frame(DATA, END_STREAM, 2, b"css")
    requests = read(
        (C, CLIENT_START + client.headers(1, ask(b"/"), END_STREAM)),
        (S, SETTINGS_FRAME + promise + server.headers(1, answer(b"200"), END_STREAM) + pushed),
    )
    assert short(requests) == [("GET", "/", "200"), ("GET", "/p.css", "200")]


def test_an_answer_may_end_before_its_request() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    requests = read(
        (C, CLIENT_START + client.headers(1, ask(b"/up", method=b"PUT")) + frame(DATA, 0, 1, b"x" * 9)),
        (S, SETTINGS_FRAME + server.headers(1, answer(b"413"), END_STREAM) + frame(RST_STREAM, 0, 1, bytes(4))),
        (C, frame(DATA, END_STREAM, 1, b"x") + client.headers(3, ask(b"/next"), END_STREAM)),
        (S, server.headers(3, answer(b"200"), END_STREAM)),
    )
    assert short(requests) == [("PUT", "/up", "413"), ("GET", "/next", "200")]
    assert (requests[0].request_ended_at, requests[0].request_body_bytes) == (0, -1)


def test_a_connect_tunnel_is_done_when_it_is_accepted() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    fields = [(b":method", b"CONNECT"), (b":authority", b"db.test:5432")]
    requests = read(
        (C, CLIENT_START + client.headers(1, fields)),
        (S, SETTINGS_FRAME + server.headers(1, answer(b"200")) + frame(DATA, 0, 1, b"inside")),
    )
    assert short(requests) == [("CONNECT", "", "200")]


def two_rounds() -> tuple[Script, Script]:
    """Two rounds of the same requests: in the second all headers are in the tables."""
    client, server = HeaderWriter(), HeaderWriter()
    rounds = []
    for first in (1, 5):
        asked = client.headers(first, ask(b"/same"), END_STREAM) + client.headers(first + 2, ask(b"/%d" % first), END_STREAM)
        answers = server.headers(first, answer(b"200"), END_STREAM) + server.headers(first + 2, answer(b"503"), END_STREAM)
        rounds.append([(C, asked), (S, answers)])
    return [(C, CLIENT_START), (S, SETTINGS_FRAME), *rounds[0]], rounds[1]


def test_what_an_older_connection_has_in_its_tables_is_unknown_and_the_rest_is_read() -> None:
    before, joined = two_rounds()
    assert short(read(*before, *joined)) == [
        ("GET", "/same", "200"),
        ("GET", "/1", "503"),
        ("GET", "/same", "200"),
        ("GET", "/5", "503"),
    ]
    requests = read(*joined)
    assert short(requests) == [("GET", "", "200"), ("GET", "/5", "unknown")]
    assert "url.path" not in requests[0].attributes
    assert "server.address" not in requests[0].attributes
    assert requests[1].error_type == ""


@pytest.mark.parametrize("junk", [b"\0" * 40, b"x" * 40, b"\0\0\5\0\0\0\0\0\1xx", b"\0\0\0\4\1\0\0\0", bytes(range(256)) * 3])
def test_an_older_connection_is_found_behind_half_frames(junk: bytes) -> None:
    _, joined = two_rounds()
    (_, first), *rest = joined
    assert isinstance(first, bytes)
    script: Script = [(C, junk + PING_FRAME + WINDOW + first), (S, junk), *rest]
    assert short(read(*script)) == [("GET", "", "200"), ("GET", "/5", "unknown")]


def test_bodies_nobody_saw_are_followed_exactly() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    body = frame(DATA, 0, 1, b"x" * 16_000)
    requests = read(
        (C, CLIENT_START + client.headers(1, ask(b"/up", method=b"PUT")) + body[:300]),
        (C, len(body) - 300),
        (C, frame(DATA, END_STREAM, 1, b"x" * 100)[:9]),
        (C, 100),
        (S, SETTINGS_FRAME + server.headers(1, answer(b"200")) + frame(DATA, END_STREAM | PADDED, 1, b"\3" + b"x" * 99)[:20]),
        (S, 89),
        (C, client.headers(3, ask(b"/up"), END_STREAM)),
        (S, server.headers(3, answer(b"200"), END_STREAM)),
    )
    assert short(requests) == [("PUT", "/up", "200"), ("GET", "/up", "200")]
    assert (requests[0].request_body_bytes, requests[0].response_body_bytes) == (16_100, 96)
    assert (requests[0].request_ended_at, requests[0].ended_at) == (4, 6)


def test_headers_nobody_saw_cost_the_table_and_no_more() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    first = client.headers(1, ask(b"/a"), END_STREAM)
    head = client.headers(3, ask(b"/b", (b"x", b"y" * 50)), END_STREAM)
    script: Script = [
        (C, CLIENT_START + first + head[:20]),
        (C, len(head) - 20),
        (S, SETTINGS_FRAME + server.headers(1, answer(b"200"), END_STREAM) + server.headers(3, answer(b"404"), END_STREAM)),
        (C, client.headers(5, ask(b"/a"), END_STREAM) + client.headers(7, ask(b"/new"), END_STREAM)),
        (S, server.headers(5, answer(b"200"), END_STREAM) + server.headers(7, answer(b"500"), END_STREAM)),
    ]
    requests, discarded = run(Http2Conversation, script)
    assert read(*script) == requests
    assert short(requests) == [("GET", "/a", "200"), ("", "", "404"), ("GET", "", "200"), ("GET", "/new", "500")]
    assert discarded == {"unreadable_headers": 1}


def test_lost_bytes_give_no_wrong_answer() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    conversation = Http2Conversation()
    conversation.feed(C, CLIENT_START + b"".join(client.headers(one, ask(b"/%d" % one), END_STREAM) for one in (1, 3, 5)), 1)
    conversation.feed(S, SETTINGS_FRAME + server.headers(1, answer(b"200")) + frame(DATA, 0, 1, b"x" * 50)[:30], 2)
    conversation.lose(S)
    server.headers(3, answer(b"404"), END_STREAM)
    requests = list(conversation.feed(S, b"x" * 9 + PING_FRAME + SETTINGS_ACK + server.headers(5, answer(b"503"), END_STREAM), 3))
    requests += conversation.end(4)
    assert short(requests) == [("GET", "/5", "503"), ("GET", "/1", "200"), ("GET", "/3", "unknown")]
    assert conversation.discarded == {"lost": 1}


def test_h2c_upgrade_answers_the_http1_request_on_stream_1() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    upgrade = (
        b"GET /first?x=secret HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade\r\n\r\n"
    )
    accepted = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    first = server.headers(1, answer(b"200")) + frame(DATA, END_STREAM, 1, b"ok")
    script: Script = [
        (C, upgrade),
        (S, accepted + SETTINGS_FRAME + first),
        (C, CLIENT_START + client.headers(3, ask(b"/second"), END_STREAM)),
        (S, server.headers(3, answer(b"404"), END_STREAM)),
    ]
    requests = assert_same_for_every_cut(Http1Conversation, script)
    assert short(requests) == [("GET", "/first", "200"), ("GET", "/second", "404")]
    assert requests[0].response_bytes == len(accepted + first)


@pytest.mark.parametrize(
    "bad",
    [
        frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
        frame(HEADERS, 0, 3, b"\x82") + PING_FRAME,
        frame(7, 0, 0, b""),
        frame(RST_STREAM, 0, 1, b"12345"),
        frame(PING_FRAME[3], 0, 0, b"123"),
        frame(HEADERS, END_HEADERS | PADDED, 3, b"\xff\x82"),
        frame(HEADERS, END_HEADERS, 3, b"\x40"),
        frame(0xBE, 0xFF, 0x7FFFFFFF, b"unknown kinds are allowed"),
    ],
)
def test_malformed_frames_do_not_hide_later_requests(bad: bytes) -> None:
    client, server = HeaderWriter(), HeaderWriter()
    requests = read(
        (C, CLIENT_START + client.headers(1, ask(b"/a"), END_STREAM)),
        (S, SETTINGS_FRAME + server.headers(1, answer(b"200"), END_STREAM)),
        (C, bad + PING_FRAME + SETTINGS_ACK + client.headers(5, ask(b"/new"), END_STREAM)),
        (S, server.headers(5, answer(b"404"), END_STREAM)),
    )
    assert short(requests)[0] == ("GET", "/a", "200")
    assert ("GET", "/new", "404") in short(requests)


def test_memory_is_bounded() -> None:
    client = HeaderWriter()
    conversation = Http2Conversation()
    conversation.feed(C, CLIENT_START, 1)
    requests = []
    for number in range(1, 4 * STREAMS_MAX, 2):
        requests += conversation.feed(C, client.headers(number, ask(b"/a"), END_STREAM), 1)
    assert len(conversation._streams) <= STREAMS_MAX
    assert len(requests) == STREAMS_MAX
    assert {one.outcome for one in requests} == {Outcome.UNKNOWN}
    for _ in range(300):
        conversation.feed(C, frame(HEADERS, 0, 9001, b"\x82" * 16_000)[:-1], 1)
        assert len(conversation._readers[0]._buffer) <= 33_000
        conversation.feed(C, b"\x82", 1)
        conversation.feed(C, frame(CONTINUATION, 0, 9001, b"\x82" * 16_000), 1)
        headers = conversation._readers[0]._headers
        assert headers is None or headers.content is None or len(headers.content) <= 33_000


@pytest.mark.parametrize(
    ("side", "data", "evidence"),
    [
        (C, b"", Evidence.MAYBE),
        (C, PREFACE[:10], Evidence.MAYBE),
        (C, PREFACE, Evidence.YES),
        (S, PREFACE, Evidence.NO),
        (S, SETTINGS_FRAME, Evidence.YES),
        (S, SETTINGS_ACK, Evidence.MAYBE),
        (S, SETTINGS_ACK + PING_FRAME, Evidence.YES),
        (C, HeaderWriter().headers(7, ask(b"/a"), END_STREAM), Evidence.YES),
        (C, HeaderWriter().headers(8, ask(b"/a"), END_STREAM), Evidence.NO),
        (S, HeaderWriter().headers(7, answer(b"200")), Evidence.YES),
        (C, frame(HEADERS, END_HEADERS, 7, b"\xbe\xbf\xc0"), Evidence.MAYBE),
        (C, frame(HEADERS, END_HEADERS, 7, b"\xbe\xbf\xc0") + frame(DATA, END_STREAM, 7, b"abc"), Evidence.YES),
        (C, frame(DATA, 0, 7, b"x" * 16_384)[:5000], Evidence.MAYBE),
        (S, WINDOW[:5], Evidence.MAYBE),
        (C, bytes(100), Evidence.NO),
        (C, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Evidence.NO),
        (C, b"\x17\x03\x03\x00\x40" + bytes(64), Evidence.NO),
        (C, b"SSH-2.0-OpenSSH_9.2\r\n", Evidence.NO),
        (C, b"GET / HTTP/1.1\r\n", Evidence.NO),
        (C, b"\x0f\x00\x00\x00\x03select 1", Evidence.NO),
        (C, b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Evidence.MAYBE),
        (C, b"\x00\x00\x00\x08\x04\xd2\x16\x2f\x00", Evidence.NO),
        (C, b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www", Evidence.NO),
        (C, b"\x00\x00\x00\x17\x00\x12\x00\x04\x00\x00\x00\x01\x00\x0btest-client", Evidence.NO),
    ],
)
def test_evidence_of_first_bytes(side: Side, data: bytes, evidence: Evidence) -> None:
    assert recognise(side, data) is evidence
