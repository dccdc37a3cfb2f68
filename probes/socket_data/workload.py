"""Makes exchanges of known sizes over TCP, IPv6 and a unix socket, and one connection in chunks; prints what must be seen."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXCHANGES = 23
REQUEST = b"GET /known HTTP/1.1\r\nhost: example\r\n\r\n"
LONG_REQUEST = b"GET /long HTTP/1.1\r\nx-filler: " + b"f" * 600 + b"\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = b"f" * 1200
Expectation = dict[str, Any]


def receive_exactly(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(size))


@contextmanager
def connected(server: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(client, accepted); the client says goodbye first."""
    client = socket.socket(server.family)
    client.connect(server.getsockname())
    accepted, _ = server.accept()
    with client, accepted:
        yield client, accepted
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        accepted.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def exchange(server: socket.socket, request: bytes) -> None:
    """All on one connection, one after the other."""
    with connected(server) as (client, accepted):
        for _ in range(EXCHANGES):
            client.sendall(request)
            receive_exactly(accepted, len(request))
            accepted.sendall(RESPONSE)
            receive_exactly(client, len(RESPONSE))


def expect(record: str, count: int, where: Expectation, total: Expectation | None = None) -> Expectation:
    return {"record": record, "where": {"process": os.getpid(), **where}, "count": count} | ({"sum": total} if total else {})


def exchanges_of(request: bytes, where: Expectation) -> list[Expectation]:
    """Seen at both ends."""
    total = {"request_bytes": EXCHANGES * len(request), "response_bytes": EXCHANGES * len(RESPONSE)}
    return [expect("socket_exchange", EXCHANGES, {**where, "role": role}, total) for role in ("client", "server")]


def exchange_over_tcp(family: int, address: str, request: bytes) -> list[Expectation]:
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        exchange(server, request)
    client, of_server = exchanges_of(request, {"transport": "tcp"})
    client["where"]["remote_port"] = of_server["where"]["local_port"] = port
    return [client, of_server]


def exchange_over_unix() -> list[Expectation]:
    with tempfile.TemporaryDirectory(prefix="honeyguide-") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(folder, "socket")))
        server.listen()
        exchange(server, REQUEST)
    return exchanges_of(REQUEST, {"transport": "unix"})


def send_frames() -> list[Expectation]:
    """What begins as HTTP/2 is reported piece by piece: the preface, then each frame in chunks of 512 bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with connected(server) as (client, accepted):
            for piece in (PREFACE, *[FRAME] * EXCHANGES):
                client.sendall(piece)
                receive_exactly(accepted, len(piece))
    sent = {"length": len(PREFACE) + EXCHANGES * len(FRAME)}
    pieces = 1 + EXCHANGES * 3
    return [
        expect("socket_chunk", pieces, {"role": "client", "remote_port": port, "closed": 0, "side": "client"}, sent),
    ]


def main() -> None:
    found = exchange_over_tcp(socket.AF_INET, "127.0.0.1", REQUEST)
    found += exchange_over_tcp(socket.AF_INET6, "::1", REQUEST)
    found += exchange_over_tcp(socket.AF_INET, "127.0.0.1", LONG_REQUEST)
    found += exchange_over_unix() + send_frames()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
