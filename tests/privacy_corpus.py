"""Conversations full of secrets, one for each place where a protocol can carry one: none may leave the node."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import NamedTuple

CLIENT, SERVER = 0, 1
MARK = b"zqsecret"  # every secret has it in itself, in clear or encoded


class Talk(NamedTuple):
    """steps: (side, bytes) in turn. shown: (operation, route or '') that the agent must tell, which proves that it read them."""

    name: str
    steps: tuple[tuple[int, bytes], ...]
    shown: tuple[tuple[str, str], ...]


def secret(place: str) -> bytes:
    return MARK + place.encode()


# A secret that is encoded where it goes over the wire; searched for as it stands there.
ENCODED = base64.b64encode(b"user:" + secret("basic"))[4:-4]


def http_request(target: bytes, *headers: tuple[bytes, bytes], body: bytes = b"", method: bytes = b"GET") -> bytes:
    lines = [b"%b: %b" % header for header in (*headers, (b"Content-Length", b"%d" % len(body)))]
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), *lines, b"", body])


def http_answer(status: bytes, *headers: tuple[bytes, bytes], body: bytes = b"") -> bytes:
    lines = [b"%b: %b" % header for header in (*headers, (b"Content-Length", b"%d" % len(body)))]
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", body])


def http_talk() -> Talk:
    asked = http_request(
        b"/orders/42?token=" + secret("query") + b"&b=%7Bzq%7D" + secret("second"),
        (b"Host", b"bob:" + secret("host") + b"@shop.example"),
        (b"Authorization", b"Bearer " + secret("bearer")),
        (b"Cookie", b"session=" + secret("cookie")),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"tracestate", b"vendor=" + secret("tracestate")),
        (b"baggage", b"user=" + secret("baggage")),
        (b"User-Agent", b"tool/" + secret("agent")),
        (b"X-Forwarded-For", secret("forwarded")),
    )
    basic = http_request(
        b"http://bob:" + secret("userinfo") + b"@shop.example/carts/7;jsessionid=" + secret("matrix") + b"#" + secret("fragment"),
        (b"Host", b"shop.example"),
        (b"Authorization", b"Basic " + base64.b64encode(b"user:" + secret("basic"))),
        body=b'{"card": "' + secret("body") + b'"}',
        method=b"POST",
    )
    answered = http_answer(
        b"200 OK", (b"Set-Cookie", b"id=" + secret("setcookie")), (b"X-Token", secret("answerheader")), body=secret("page") * 40
    )
    failed = http_answer(b"500 " + secret("reason"), (b"Location", b"/?t=" + secret("location")), body=secret("errorpage"))
    return Talk(
        "http", ((CLIENT, asked), (SERVER, answered), (CLIENT, basic), (SERVER, failed)), (("GET", "/orders/:id"), ("POST", ""))
    )


def postgresql_message(kind: bytes, content: bytes) -> bytes:
    return kind + (len(content) + 4).to_bytes(4) + content


READY = postgresql_message(b"Z", b"I")
QUERIES = (
    b"SELECT name FROM users WHERE email = '%b' AND pin = 4711%b -- %b\n AND x = $tag$%b$tag$ AND j = '{\"k\": \"%b\"}'::jsonb"
    % (secret("literal"), b"", secret("comment"), secret("dollar"), secret("json")),
    b"INSERT INTO cards VALUES (E'\\'%b', U&'%b', B'1', X'7a71', \"%b\")" % (secret("escape"), secret("unicode"), b"column"),
    b"/* %b */ UPDATE users SET pin = '%b' WHERE id IN (1, '%b', 'x''%b')"
    % (secret("block"), secret("set"), secret("list"), secret("doubled")),
)


def postgresql_talk() -> Talk:
    login = b"\0\3\0\0user\0" + secret("user") + b"\0database\0shop\0options\0-c a=" + secret("options") + b"\0\0"
    fields = b"SERROR\0VERROR\0C23505\0M%b\0DKey (email)=(%b) already exists.\0\0" % (secret("message"), secret("detail"))
    done = postgresql_message(b"C", b"INSERT 0 1\0") + READY
    bound = b"\0s1\0\0\0\0\1" + len(secret("parameter")).to_bytes(4) + secret("parameter") + b"\0\0"
    prepared = (
        postgresql_message(b"P", b"s1\0DELETE FROM users WHERE name = $1 AND note <> '%b'\0\0\0" % secret("prepared"))
        + postgresql_message(b"B", bound)
        + postgresql_message(b"E", b"\0\0\0\0\0")
        + postgresql_message(b"S", b"")
    )
    row = postgresql_message(b"T", b"\0\1name\0" + bytes(18)) + postgresql_message(b"D", b"\0\1\0\0\0\x0e" + secret("value1"))
    steps = (
        (CLIENT, (len(login) + 4).to_bytes(4) + login),
        (SERVER, postgresql_message(b"R", b"\0\0\0\3")),
        (CLIENT, postgresql_message(b"p", secret("password") + b"\0")),
        (SERVER, postgresql_message(b"R", b"\0\0\0\0") + READY),
        (CLIENT, postgresql_message(b"Q", QUERIES[0] + b"\0")),
        (SERVER, row + postgresql_message(b"C", b"SELECT 1\0") + READY),
        (CLIENT, postgresql_message(b"Q", QUERIES[1] + b"\0")),
        (SERVER, postgresql_message(b"E", fields) + READY),
        (CLIENT, prepared),
        (SERVER, postgresql_message(b"1", b"") + postgresql_message(b"2", b"") + done),
        (CLIENT, postgresql_message(b"Q", QUERIES[2] + b"\0")),
        (SERVER, postgresql_message(b"C", b"UPDATE 1\0") + READY),
        (CLIENT, postgresql_message(b"X", b"")),
    )
    return Talk("postgresql", steps, (("SELECT", "users"), ("INSERT", "cards"), ("DELETE", "users"), ("UPDATE", "users")))


def mysql_packet(number: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "little") + bytes((number,)) + content


def mysql_talk() -> Talk:
    login = (0x8209).to_bytes(4, "little") + bytes(4) + b"\x2d" + bytes(23) + secret("login") + b"\0\x08" + secret("") + b"shop\0"
    greeting = b"\x0a8.0.1\0" + bytes(4) + b"saltsalt\0" + b"\xff\xff\x2d\2\0\xff\xff\x15" + bytes(10) + b"saltsaltsalt\0"
    fine = mysql_packet(1, b"\0\0\0\2\0\0\0")
    steps = (
        (SERVER, mysql_packet(0, greeting)),
        (CLIENT, mysql_packet(1, login)),
        (SERVER, mysql_packet(2, b"\0\0\0\2\0\0\0")),
        (CLIENT, mysql_packet(0, b'\3UPDATE carts SET note = "%b" # %b\n' % (secret("double"), secret("hash")))),
        (SERVER, fine),
        (CLIENT, mysql_packet(0, b"\3INSERT INTO carts VALUES ('%b', _utf8'%b')" % (secret("values"), secret("charset")))),
        (SERVER, mysql_packet(1, b"\xff\x26\x04#23000Duplicate entry '%b' for key" % secret("duplicate"))),
        (CLIENT, mysql_packet(0, b"\3DELETE /* %b */ FROM carts WHERE a = '%b'" % (secret("hint"), secret("where")))),
        (SERVER, fine),
        (CLIENT, mysql_packet(0, b"\1")),
    )
    return Talk("mysql", steps, (("UPDATE", "carts"), ("INSERT", "carts"), ("DELETE", "carts")))


def redis_command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def redis_talk() -> Talk:
    steps = (
        (CLIENT, redis_command(b"AUTH", b"app", secret("auth"))),
        (SERVER, b"-WRONGPASS %b\r\n" % secret("wrongpass")),
        (CLIENT, redis_command(b"SET", secret("key"), secret("stored"))),
        (SERVER, b"+OK\r\n"),
        (CLIENT, redis_command(b"GET", secret("key"))),
        (SERVER, b"$%d\r\n%b\r\n" % (len(secret("stored")), secret("stored"))),
        (CLIENT, redis_command(b"EVAL", b"return '%b'" % secret("script"), b"1", secret("argument"))),
        (SERVER, b"-ERR %b\r\n" % secret("scripterror")),
        (CLIENT, redis_command(b"CONFIG", b"SET", b"requirepass", secret("config"))),
        (SERVER, b"+OK\r\n"),
        (CLIENT, redis_command(secret("command"), b"a")),
        (SERVER, b"-ERR unknown command '%b'\r\n" % secret("command")),
        (CLIENT, redis_command(b"HSET", secret("hash"), secret("field"), secret("fieldvalue"))),
        (SERVER, b":1\r\n"),
    )
    return Talk("redis", steps, (("AUTH", ""), ("SET", ""), ("GET", ""), ("EVAL", ""), ("HSET", "")))


def field(name: bytes, value: bytes) -> bytes:
    """A header field as a literal without a table, RFC 7541, 6.2.2."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + content


def grpc_talk() -> Talk:
    head = b"".join(
        field(*pair)
        for pair in (
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/shop.v1.Orders/Place"), (b"te", b"trailers"),
            (b":authority", b"bob:" + secret("authority") + b"@svc"), (b"content-type", b"application/grpc"),
            (b"authorization", b"Bearer " + secret("metadata")), (b"key-bin", base64.b64encode(secret("binary"))),
            (b"cookie", secret("h2cookie")),
        )
    )  # fmt: skip
    message = b"\0" + len(secret("message2")).to_bytes(4) + secret("message2")
    trailers = field(b"grpc-status", b"13") + field(b"grpc-message", secret("grpcmessage")) + field(b"x-trace", secret("trailer"))
    asked = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, head) + frame(0, 1, 1, message)
    answered = frame(4, 0, 0, b"") + frame(4, 1, 0, b"")
    answered += frame(
        1, 4, 1, field(b":status", b"200") + field(b"content-type", b"application/grpc") + field(b"x", secret("h2"))
    )
    answered += frame(0, 0, 1, message) + frame(1, 5, 1, trailers)
    return Talk("grpc", ((CLIENT, asked), (SERVER, answered)), (("POST", "shop.v1.Orders/Place"),))


def websocket_talk() -> Talk:
    asked = http_request(
        b"/live?ticket=" + secret("ticket"), (b"Host", b"shop"), (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", base64.b64encode(secret("wskey"))), (b"Sec-WebSocket-Protocol", secret("wsprotocol")),
    )  # fmt: skip
    answered = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    sent = b"\x81" + bytes((0x80 | len(secret("frame")),)) + bytes(4) + secret("frame")
    pushed = b"\x81" + bytes((len(secret("pushed")),)) + secret("pushed")
    return Talk("websocket", ((CLIENT, asked), (SERVER, answered), (CLIENT, sent), (SERVER, pushed)), (("GET", ""),))


def foreign_talk() -> Talk:
    """Nobody's protocol."""
    steps = tuple((side, b"\x07" + secret("noise") + bytes(3)) for side in (CLIENT, SERVER) * 6)
    return Talk("foreign", steps, ())


def all_talks() -> Iterator[Talk]:
    yield from (http_talk(), postgresql_talk(), mysql_talk(), redis_talk(), grpc_talk(), websocket_talk(), foreign_talk())


def find_secrets(output: bytes) -> list[bytes]:
    """What of them is in an output, with a little around it."""
    found = []
    for needle in (MARK, ENCODED, base64.b64encode(MARK)[:10], MARK.hex().encode()):
        at = output.lower().find(needle.lower())
        if at >= 0:
            found.append(output[max(at - 60, 0) : at + 60])
    return found
