"""gRPC calls on HTTP/2: method, status and errors, also where the header tables are not known."""

from __future__ import annotations

import pytest
from conversation_script import C, S, Step, assert_same_for_every_cut
from http2_wire import (
    CLIENT_START,
    DATA,
    END_STREAM,
    PADDED,
    RST_STREAM,
    SETTINGS_FRAME,
    Fields,
    HeaderWriter,
    frame,
)

from collector.decode.protocols.grpc import (
    STATUS_NAMES,
    grpc_error_type,
    grpc_status_name,
    is_grpc,
    is_grpc_message,
    read_grpc_method,
    read_grpc_status,
)
from collector.decode.protocols.http2 import Http2Conversation
from collector.decode.request import Outcome, Request

HEAD: Fields = [(b":status", b"200"), (b"content-type", b"application/grpc")]


def call(method: bytes = b"/shop.v1.Orders/Place", content_type: bytes = b"application/grpc+proto") -> Fields:
    return [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", method), (b":authority", b"svc"),
        (b"content-type", content_type), (b"te", b"trailers"),
    ]  # fmt: skip


def message(size: int) -> bytes:
    return b"\0" + size.to_bytes(4, "big") + b"m" * size


def trailers(status: bytes) -> Fields:
    return [(b"grpc-status", status), (b"grpc-message", b"secret")]


def read(*script: Step) -> list[Request]:
    requests = assert_same_for_every_cut(Http2Conversation, script, seeds=range(10))
    assert "secret" not in repr(requests)
    return requests


def read_one(*answers: bytes, asked: Fields | None = None) -> Request:
    client = HeaderWriter()
    request = client.headers(1, call() if asked is None else asked) + frame(DATA, END_STREAM, 1, message(7))
    (one,) = read((C, CLIENT_START + request), (S, SETTINGS_FRAME), *((S, one) for one in answers))
    return one


def test_a_unary_call_with_all_its_parts() -> None:
    server = HeaderWriter()
    one = read_one(server.headers(1, HEAD), frame(DATA, 0, 1, message(9)), server.headers(1, trailers(b"0"), END_STREAM))
    assert (one.protocol, one.resource, one.outcome, one.status, one.error_type) == (
        "grpc", "shop.v1.Orders/Place", Outcome.OK, "OK", "",
    )  # fmt: skip
    assert (one.request_body_bytes, one.response_body_bytes, one.response_started_at, one.ended_at) == (12, 14, 3, 5)
    assert one.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "shop.v1.Orders/Place",
        "rpc.response.status_code": "OK",
        "network.protocol.version": "2",
        "server.address": "svc",
    }


@pytest.mark.parametrize(
    ("code", "outcome"), [(5, Outcome.OK), (7, Outcome.OK), (13, Outcome.ERROR), (14, Outcome.ERROR), (99, Outcome.ERROR)]
)
def test_an_answer_of_trailers_only(code: int, outcome: Outcome) -> None:
    one = read_one(HeaderWriter().headers(1, [*HEAD, *trailers(b"%d" % code)], END_STREAM))
    assert (one.status, one.outcome) == (grpc_status_name(code), outcome)
    assert one.error_type == (grpc_status_name(code) if outcome is Outcome.ERROR else "")


def test_streaming_both_ways_is_one_call() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    (one,) = read(
        (C, CLIENT_START + client.headers(1, call(b"/chat.Chat/Talk")) + frame(DATA, 0, 1, message(3))),
        (S, SETTINGS_FRAME + server.headers(1, HEAD) + frame(DATA, 0, 1, message(4) + message(5)[:3])),
        (C, frame(DATA, 0, 1, message(3))),
        (S, frame(DATA, 0, 1, message(5)[3:])),
        (C, frame(DATA, END_STREAM, 1)),
        (S, server.headers(1, trailers(b"0"), END_STREAM)),
    )
    assert (one.resource, one.request_body_bytes, one.response_body_bytes) == ("chat.Chat/Talk", 16, 19)
    assert (one.started_at, one.request_ended_at, one.response_started_at, one.ended_at) == (1, 5, 2, 6)


@pytest.mark.parametrize(("http_status", "code"), [(b"503", 14), (b"404", 12), (b"401", 16), (b"418", 2)])
def test_a_proxy_that_answers_instead_of_the_service(http_status: bytes, code: int) -> None:
    one = read_one(HeaderWriter().headers(1, [(b":status", http_status), (b"content-type", b"text/html")], END_STREAM))
    assert (one.protocol, one.status) == ("grpc", grpc_status_name(code))


def test_a_cancelled_call_is_unanswered_and_one_the_server_breaks_off_is_an_error() -> None:
    client = HeaderWriter()
    asked = CLIENT_START + client.headers(1, call()) + client.headers(3, call())
    requests = read(
        (C, asked), (S, SETTINGS_FRAME), (C, frame(RST_STREAM, 0, 1, b"\0\0\0\x08")), (S, frame(RST_STREAM, 0, 3, b"\0\0\0\x07"))
    )
    assert [(one.status, one.outcome, one.error_type) for one in requests] == [
        ("CANCELLED", Outcome.UNANSWERED, "CANCEL"),
        ("UNAVAILABLE", Outcome.ERROR, "UNAVAILABLE"),
    ]


def test_a_missing_status_is_unknown() -> None:
    one = read_one(HeaderWriter().headers(1, HEAD) + frame(DATA, END_STREAM, 1, message(1)))
    assert (one.protocol, one.status, one.outcome) == ("grpc", "", Outcome.UNKNOWN)


def test_grpc_web_and_others_are_plain_http() -> None:
    for content_type in (b"application/grpc-web", b"application/grpc-web+proto", b"application/json"):
        one = read_one(HeaderWriter().headers(1, [(b":status", b"200")], END_STREAM), asked=call(content_type=content_type))
        assert (one.protocol, one.status) == ("http", "200")


def test_an_older_connection_is_told_by_its_messages_and_what_its_tables_hold_is_unknown() -> None:
    client, server = HeaderWriter(), HeaderWriter()
    for writer, blocks in ((client, [call()]), (server, [HEAD, trailers(b"0")])):
        for block in blocks:
            writer.block(block)
    script: list[Step] = []
    for number, method, status in (
        (7, b"/shop.v1.Orders/Place", b"0"),
        (9, b"/shop.v1.Orders/New", b"0"),
        (11, b"/shop.v1.Orders/New", b"0"),
    ):
        script += [
            (C, client.headers(number, call(method)) + frame(DATA, END_STREAM, number, message(7))),
            (
                S,
                server.headers(number, HEAD)
                + frame(DATA, 0, number, message(9))
                + server.headers(number, trailers(status), END_STREAM),
            ),
        ]
    assert [(one.protocol, one.resource, one.status, one.outcome) for one in read(*script)] == [
        ("grpc", "", "", Outcome.UNKNOWN),
        ("grpc", "shop.v1.Orders/New", "", Outcome.UNKNOWN),
        ("grpc", "shop.v1.Orders/New", "", Outcome.UNKNOWN),
    ]


def test_which_codes_are_errors_depends_on_the_side() -> None:
    of_servers = [grpc_error_type(code, is_client=False) for code in range(17)]
    assert [name for name in of_servers if name] == [
        "UNKNOWN",
        "DEADLINE_EXCEEDED",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    ]
    assert [grpc_error_type(code, is_client=True) for code in range(17)] == ["", *STATUS_NAMES[1:]]
    assert grpc_error_type(77, is_client=False) == "77"


def test_methods_status_and_types_are_read_or_refused() -> None:
    assert read_grpc_method("/a.b.C/D") == "a.b.C/D"
    assert [read_grpc_method(path) for path in ("", "/", "/a", "/a/b/c", "a/b", "/a-b/c", "/a/b?c")] == [""] * 7
    assert [read_grpc_status(value) for value in (b"0", b"16", b"", b"-1", b"1x", b"9999")] == [0, 16, -1, -1, -1, -1]
    assert [is_grpc(value) for value in (b"application/grpc", b"application/grpc+json", b"Application/GRPC; x")] == [True] * 3
    assert [is_grpc(value) for value in (b"application/grpc-web", b"text/html", b"")] == [False] * 3


def test_a_message_is_told_by_its_length() -> None:
    assert is_grpc_message(message(9)[:6], False, 14)
    assert is_grpc_message(b"\2" + message(9)[:5], True, 14 + 3)
    assert PADDED == 8
    assert not is_grpc_message(message(9)[:6], False, 15)
    assert not is_grpc_message(b'{"a":1', False, 14)
    assert not is_grpc_message(b"", True, 0)
