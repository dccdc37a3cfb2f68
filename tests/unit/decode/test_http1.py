"""HTTP/1 conversations: framing, order, interim answers, upgrades, loss. Every script gives the same however it is cut."""

from __future__ import annotations

import pytest
from conversation_script import C, S, Script, Step, assert_same_for_every_cut, run

from collector.decode.protocols.http1 import Http1Conversation, recognise
from collector.decode.protocols.http_semantics import http_error_type
from collector.decode.request import Evidence, Outcome, Request, Side

TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: h:80", *lines, "", "")).encode()


def answer(status: int = 200, body: str = "ok", *lines: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *lines, "", body)).encode()


def post(path: str, body: str, *lines: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *lines, method="POST") + body.encode()


def ask(*script: Step) -> list[Request]:
    return assert_same_for_every_cut(Http1Conversation, script)


def short(requests: list[Request]) -> list[tuple[str, str, str]]:
    return [(one.operation, one.resource, one.status or one.outcome.value) for one in requests]


def test_one_exchange_with_all_its_numbers() -> None:
    asked, answered = post("/a?x=secret", "123", f"traceparent: {TRACE_PARENT}"), answer(503, "sorry")
    assert ask((C, asked), (S, answered)) == [
        Request(
            protocol="http",
            operation="POST",
            resource="/a",
            outcome=Outcome.ERROR,
            status="503",
            error_type="503",
            request_bytes=len(asked),
            response_bytes=len(answered),
            request_body_bytes=3,
            response_body_bytes=5,
            started_at=1,
            request_ended_at=1,
            response_started_at=2,
            ended_at=2,
            trace_parent=TRACE_PARENT,
            attributes={
                "http.request.method": "POST",
                "url.path": "/a",
                "url.scheme": "http",
                "http.response.status_code": 503,
                "network.protocol.version": "1.1",
                "server.address": "h",
                "server.port": 80,
            },
        )
    ]


def test_times_are_those_of_first_and_last_bytes() -> None:
    whole_request, whole_answer = post("/a", "123456"), answer(200, "123456")
    (one,) = ask((C, whole_request[:9]), (C, whole_request[9:]), (S, whole_answer[:9]), (S, whole_answer[9:-1]), (S, b"6"))
    assert (one.started_at, one.request_ended_at, one.response_started_at, one.ended_at) == (1, 2, 3, 5)


def test_keep_alive_and_pipelining_answer_in_order() -> None:
    requests = ask(
        (C, get("/1") + get("/2")), (S, answer(201)), (C, post("/3", "x")), (S, answer(202) + answer(203)), (C, get("/4"))
    )
    assert short(requests) == [("GET", "/1", "201"), ("GET", "/2", "202"), ("POST", "/3", "203"), ("GET", "/4", "unanswered")]


def test_chunked_both_ways_with_extensions_and_trailers() -> None:
    body = b"5;name=value\r\nhello\r\nA \r\n0123456789\r\n0\r\nX-Sum: GET / HTTP/1.1\r\n\r\n"
    asked = get("/c", "Transfer-Encoding: chunked", method="PUT") + body
    answered = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + body
    requests = ask((C, asked + get("/next")), (S, answered + answer(404)))
    assert short(requests) == [("PUT", "/c", "200"), ("GET", "/next", "404")]
    assert (requests[0].request_body_bytes, requests[0].response_body_bytes) == (15, 15)
    assert (requests[0].request_bytes, requests[0].response_bytes) == (len(asked), len(answered))


@pytest.mark.parametrize("chunk", [b"xyz\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"fffffffffffffffff\r\n", b"1;" + b"x" * 5000])
def test_broken_chunks_resynchronise_and_the_pair_stays_right(chunk: bytes) -> None:
    asked = get("/c", "Transfer-Encoding: chunked", method="POST") + chunk + get("/hidden")
    script: Script = [(C, asked), (S, answer(400)), (C, get("/next")), (S, answer())]
    requests, discarded = run(Http1Conversation, script)
    assert ask(*script) == requests
    assert short(requests) == [("POST", "/c", "400"), ("GET", "/next", "200")]
    assert requests[0].request_body_bytes == -1
    assert discarded == {"broken_chunk": 1}


def test_answers_without_a_body_whatever_their_length_says() -> None:
    script: list[Step] = []
    for method, status in (("HEAD", 200), ("GET", 304), ("GET", 204), ("GET", 200)):
        script += [(C, get(f"/{status}", method=method)), (S, answer(status, "", "ETag: x"))]
    script[1] = (S, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    script[3] = (S, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")
    script[5] = (S, b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert [one.status for one in ask(*script)] == ["200", "304", "204", "200"]


def test_interim_answers_come_before_the_final_one() -> None:
    head = get("/up", "Content-Length: 3", "Expect: 100-continue", method="PUT")
    requests = ask(
        (C, head),
        (S, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (C, b"abc"),
        (S, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        (S, answer(201)),
    )
    assert short(requests) == [("PUT", "/up", "201")]
    assert (requests[0].request_body_bytes, requests[0].request_ended_at, requests[0].response_started_at) == (3, 3, 5)


def test_a_client_that_was_refused_instead_of_100_need_not_send_its_body() -> None:
    head = get("/up", "Content-Length: 3", "Expect: 100-continue", method="PUT")
    assert short(ask((C, head), (S, answer(417)), (C, get("/next")), (S, answer()))) == [
        ("PUT", "/up", "417"),
        ("GET", "/next", "200"),
    ]
    late = ask(
        (C, head), (S, answer(401)), (C, b"abc"), (S, b""), (C, get("/lost")), (S, answer()), (C, get("/next")), (S, answer())
    )
    assert short(late) == [("PUT", "/up", "401"), ("GET", "/next", "200")]


def test_an_early_answer_waits_for_the_rest_of_its_request() -> None:
    asked = post("/up", "x" * 20)
    requests = ask((C, asked[:-15]), (S, answer(413)), (C, asked[-15:] + get("/next")), (S, answer()))
    assert short(requests) == [("POST", "/up", "413"), ("GET", "/next", "200")]
    assert (requests[0].request_body_bytes, requests[0].ended_at, requests[0].request_ended_at) == (20, 2, 3)


def test_an_answer_to_half_a_head_belongs_to_it() -> None:
    requests = ask((C, get("/long", "Cookie: secret")[:-5]), (S, answer(431)))
    assert short(requests) == [("GET", "/long", "431")]


def test_a_body_until_the_connection_closes() -> None:
    requests = ask((C, b"GET /old HTTP/1.0\r\n\r\n"), (S, b"HTTP/1.0 200 OK\r\n\r\nfirst"), (S, b"second"))
    assert short(requests) == [("GET", "/old", "200")]
    assert (requests[0].response_body_bytes, requests[0].ended_at) == (11, 3)
    assert requests[0].attributes["network.protocol.version"] == "1.0"


def test_slow_streams_are_one_request_from_first_to_last_event() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    event = b"8\r\ndata: 1\n\r\n"
    (one,) = ask((C, get("/events")), (S, head), (S, event), (S, event), (S, event + b"0\r\n\r\n"))
    assert (one.response_started_at, one.ended_at, one.response_body_bytes) == (2, 5, 24)


def test_a_websocket_is_one_request_and_then_one_opaque_conversation() -> None:
    conversation = Http1Conversation()
    conversation.feed(C, get("/chat?key=secret", "Upgrade: websocket", "Connection: Upgrade"), 1)
    assert not conversation.opaque
    upgraded = conversation.feed(S, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n\x81\x02hi", 2)
    assert short(list(upgraded)) == [("GET", "/chat", "101")]
    assert conversation.opaque
    assert not conversation.feed(C, b"GET / HTTP/1.1\r\n\r\n", 3)
    assert not conversation.skip(S, 1000, 4)
    (socket,) = conversation.end(9)
    assert (socket.protocol, socket.resource, socket.outcome) == ("websocket", "/chat", Outcome.OK)
    assert (socket.request_bytes, socket.response_bytes, socket.started_at, socket.ended_at) == (18, 1004, 2, 9)
    assert not conversation.end(10)


def test_a_tunnel_is_opaque() -> None:
    connect = b"CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n"
    requests = ask((C, connect), (S, b"HTTP/1.1 200 Established\r\n\r\n"), (C, get("/inside")), (S, answer()))
    assert short(requests) == [("CONNECT", "", "200")]
    assert requests[0].attributes["server.address"] == "db.test"
    refused = ask((C, connect), (S, answer(403)), (C, get("/next")), (S, answer()))
    assert short(refused) == [("CONNECT", "", "403"), ("GET", "/next", "200")]


@pytest.mark.parametrize(
    "lines", [("Content-Length: 4", "Content-Length: 44"), ("Content-Length: 4", "Transfer-Encoding: chunked")]
)
def test_contradictory_lengths_are_counted_and_nothing_inside_becomes_a_request(lines: tuple[str, str]) -> None:
    smuggled = get("/p", *lines, method="POST") + b"0\r\n\r\n" + get("/smuggled")
    script: Script = [(C, smuggled), (S, answer(200) + answer(200)), (C, get("/next")), (S, answer(404))]
    requests, discarded = run(Http1Conversation, script)
    assert ask(*script) == requests
    assert short(requests) == [("POST", "/p", "200"), ("GET", "/next", "404")]
    assert discarded == {"contradictory_length": 1, "answer_without_request": 1}


def test_a_contradictory_answer_ends_where_the_next_request_begins() -> None:
    odd = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    requests = ask((C, get("/a")), (S, odd), (C, get("/b")), (S, answer()), (C, get("/c")), (S, odd))
    assert short(requests) == [("GET", "/a", "200"), ("GET", "/b", "200"), ("GET", "/c", "200")]
    assert [one.response_body_bytes for one in requests] == [-1, 2, -1]


def test_bodies_nobody_saw_are_followed_exactly() -> None:
    huge = 10_000_000_000
    conversation = Http1Conversation()
    conversation.feed(C, get("/up", f"Content-Length: {huge}", method="PUT"), 1)
    assert not conversation.skip(C, huge - 1, 2)
    assert not conversation.feed(C, b"x", 3)
    assert not conversation.feed(S, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\nabc", 4)
    assert not conversation.skip(S, 0x40000000 - 3, 5)
    (one,) = conversation.feed(S, b"\r\n0\r\n\r\n", 6)
    assert (one.request_body_bytes, one.response_body_bytes, one.request_ended_at, one.ended_at) == (huge, 0x40000000, 3, 6)
    conversation.feed(C, get("/close"), 7)
    conversation.feed(S, b"HTTP/1.1 200 OK\r\n\r\n", 8)
    conversation.skip(S, huge, 9)
    (one,) = conversation.end(10)
    assert one.response_body_bytes == huge
    assert conversation.discarded == {}


@pytest.mark.parametrize("seen", [1, 4, 20, 60])
def test_heads_that_are_captured_in_part_still_pair(seen: int) -> None:
    """A probe that copies the first bytes of every write only."""
    script: list[Step] = []
    for number in range(5):
        for side, data in (
            (C, get(f"/{number}", "Cookie: " + "x" * 200)),
            (S, answer(200 + number, "", "Set-Cookie: " + "y" * 200)),
        ):
            script += [(side, data[:seen]), (side, len(data) - seen)]
    requests = ask(*script)
    if seen < 20:
        assert {one.status for one in requests} <= {""}
    else:
        assert short(requests) == [("GET", f"/{number}", str(200 + number)) for number in range(5)]
        assert all(one.response_bytes > 200 and one.request_bytes > 200 for one in requests)


def test_unseen_answers_are_unknown_and_the_next_pair_is_right() -> None:
    requests = ask((C, get("/a")), (S, 500), (C, get("/b")), (S, answer(404)))
    assert short(requests) == [("GET", "/a", "unknown"), ("GET", "/b", "404")]


def test_lost_bytes_give_no_wrong_pair() -> None:
    conversation = Http1Conversation()
    requests = list(conversation.feed(C, get("/a") + get("/b"), 1))
    requests += conversation.feed(S, answer(201)[:10], 2)
    conversation.lose(Side.SERVER)
    requests += conversation.feed(S, answer(202), 3)
    requests += conversation.feed(C, get("/c"), 4)
    requests += conversation.feed(S, answer(203), 5)
    conversation.lose(Side.CLIENT)
    requests += conversation.feed(S, answer(204), 6)
    requests += conversation.feed(C, get("/d"), 7)
    requests += conversation.feed(S, answer(205), 8)
    requests += conversation.end(9)
    assert short(requests) == [("GET", "/a", "unknown"), ("GET", "/b", "unknown"), ("GET", "/c", "203"), ("GET", "/d", "205")]
    assert conversation.discarded == {"lost": 2, "answer_without_request": 1}


def test_an_answer_whose_rest_is_lost_keeps_its_status() -> None:
    conversation = Http1Conversation()
    conversation.feed(C, get("/a"), 1)
    conversation.feed(S, answer(500, "x" * 100)[:60], 2)
    conversation.lose(Side.SERVER)
    (one,) = conversation.feed(C, get("/b"), 3)
    assert (one.status, one.outcome, one.response_started_at, one.ended_at, one.response_body_bytes) == (
        "500",
        Outcome.ERROR,
        2,
        0,
        -1,
    )


@pytest.mark.parametrize(
    "before",
    [
        [(C, b"body with GET /inside HTTP/1.1\r\n in it")],
        [(S, b"rest of an answer HTTP/1.1 200 OK\r\n\r\n")],
        [(C, b"rest of a head\r\nHost: x\r\n\r\n"), (S, answer())],
        [(C, 700), (S, 300)],
        [(S, answer()), (S, answer())],
        [(C, b"\r\n\r\n")],
    ],
)
def test_a_connection_joined_in_the_middle_is_read_from_the_next_certain_message(before: list[Step]) -> None:
    requests = ask(*before, *([(S, b"...")] if before[-1][0] is C else []), (C, get("/next")), (S, answer()))
    assert short(requests) == [("GET", "/next", "200")]


def test_heads_of_16_kib_with_traceparent_at_their_end_are_read_whole() -> None:
    lines = [f"X-{number}: {'v' * 1000}" for number in range(16)]
    (one,) = ask((C, get("/a", *lines, f"traceparent: {TRACE_PARENT}")), (S, answer()))
    assert one.trace_parent == TRACE_PARENT


def test_an_overlong_head_is_read_as_far_as_it_is_kept() -> None:
    def make() -> Http1Conversation:
        return Http1Conversation(head_limit=100)

    script: Script = [
        (C, get("/a", "X: " + "v" * 200)),
        (S, answer(431)),
        (C, get("/b")),
        (S, answer(200, "", "X: " + "v" * 200)),
    ]
    requests = assert_same_for_every_cut(make, script)
    assert short(requests) == [("GET", "/a", "431"), ("GET", "/b", "200")]
    assert run(make, script)[1] == {"overlong_head": 2}


def test_memory_is_bounded() -> None:
    conversation = Http1Conversation()
    for number in range(5000):
        conversation.feed(C, get(f"/{number}"), 1)
    assert len(conversation._waiting) <= 513
    conversation = Http1Conversation()
    conversation.feed(C, b"GET /", 1)
    for _ in range(100):
        conversation.feed(C, b"x" * 1000, 1)
        assert len(conversation._client.buffer) <= 32_768
    conversation.feed(S, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 2)
    for _ in range(100):
        conversation.feed(S, b"1;" + b"x" * 1000, 2)
        assert len(conversation._server.buffer) == 0


@pytest.mark.parametrize(
    ("side", "data", "evidence"),
    [
        (C, b"", Evidence.MAYBE),
        (C, b"GE", Evidence.MAYBE),
        (C, b"GET /a", Evidence.MAYBE),
        (C, b"GET /a HTTP/1.1\r", Evidence.MAYBE),
        (C, b"GET /a HTTP/1.1\r\n", Evidence.YES),
        (C, b"PROPPATCH /a HTTP/1.0\nX", Evidence.YES),
        (C, b"OPTIONS * HTTP/1.1\r\n", Evidence.YES),
        (C, b"GET http://h/ HTTP/1.1\r\n", Evidence.YES),
        (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Evidence.NO),
        (C, b"GET /a\r\n", Evidence.NO),
        (C, b"GET /a\x00b HTTP/1.1\r\n", Evidence.NO),
        (C, b"\x16\x03\x01\x02\x00\x01\x00", Evidence.NO),
        (C, b"SSH-2.0-OpenSSH_9.2\r\n", Evidence.NO),
        (C, b"EHLO mail.test\r\n", Evidence.NO),
        (C, b"SET key value\r\n", Evidence.NO),
        (C, b"*3\r\n$3\r\nSET\r\n", Evidence.NO),
        (C, b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Evidence.NO),
        (C, b"DESCRIBE rtsp://h/ RTSP/1.0\r\n", Evidence.NO),
        (S, b"", Evidence.MAYBE),
        (S, b"HTTP/1.1 20", Evidence.MAYBE),
        (S, b"HTTP/1.1 200 OK", Evidence.YES),
        (S, b"HTTP/1.0 404\r\n", Evidence.YES),
        (S, b"HTTP/2.0 404\r\n", Evidence.NO),
        (S, b"RTSP/1.0 200 OK\r\n", Evidence.NO),
        (S, b"220 mail ESMTP\r\n", Evidence.NO),
        (S, b"\x16\x03\x03\x00\x7a", Evidence.NO),
    ],
)
def test_evidence_of_first_bytes(side: Side, data: bytes, evidence: Evidence) -> None:
    assert recognise(side, data) is evidence


def test_4xx_are_errors_of_clients_only() -> None:
    assert [http_error_type(status, is_client=False) for status in (200, 404, 500)] == ["", "", "500"]
    assert [http_error_type(status, is_client=True) for status in (200, 404, 500)] == ["", "404", "500"]
