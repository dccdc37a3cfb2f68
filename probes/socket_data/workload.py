"""Makes exchanges of known sizes over TCP, IPv6 and unix sockets, by every call that reads or writes, and one connection in
chunks; prints what must be seen."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXCHANGES = 23
REQUEST = b"GET /known HTTP/1.1\r\nhost: example\r\n\r\n"
LONG_REQUEST = b"GET /long HTTP/1.1\r\nx-filler: " + b"f" * 600 + b"\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = b"f" * 1200
PIECES = (REQUEST[:3], b"", REQUEST[3:20], REQUEST[20:])
MESSAGE_WAITALL = 0x100
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


class Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Message(ctypes.Structure):
    """struct mmsghdr: one of several messages of one call; the kernel fills `moved`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.POINTER(Piece)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_size_t),  # an int, padded
        ("moved", ctypes.c_size_t),
    )


def move_messages(function: str, connection: socket.socket, flags: int) -> None:
    """The request in one call, in messages of one piece each."""
    buffers = [ctypes.create_string_buffer(piece, len(piece)) for piece in PIECES if piece]
    pieces = [Piece(ctypes.addressof(buffer), len(buffer)) for buffer in buffers]
    messages = (Message * len(pieces))(*(Message(pieces=ctypes.pointer(piece), count=1) for piece in pieces))
    moved = getattr(ctypes.CDLL(None), function)(connection.fileno(), messages, len(messages), flags, None)
    assert moved == len(messages), (function, moved)


def read_vector(connection: socket.socket) -> None:
    moved = os.readv(connection.fileno(), [bytearray(7), bytearray(len(REQUEST))])
    receive_exactly(connection, len(REQUEST) - moved)


def receive_message(connection: socket.socket) -> None:
    moved = connection.recvmsg_into([bytearray(7), bytearray(len(REQUEST))])[0]
    receive_exactly(connection, len(REQUEST) - moved)


def peek_first(connection: socket.socket) -> None:
    assert connection.recv(len(REQUEST), socket.MSG_PEEK) == REQUEST
    receive_exactly(connection, len(REQUEST))


def read_file(connection: socket.socket) -> None:
    left = len(REQUEST)
    while left:
        left -= len(os.read(connection.fileno(), left))


def write_all(connection: socket.socket) -> None:
    assert os.write(connection.fileno(), REQUEST) == len(REQUEST)


# How a request is written and how it is read: each call that can.
Move = Callable[[socket.socket], object]
CALLS: tuple[tuple[Move, Move], ...] = (
    (write_all, read_file),
    (lambda client: os.writev(client.fileno(), PIECES), read_vector),
    (lambda client: client.sendmsg(PIECES), receive_message),
    (
        lambda client: move_messages("sendmmsg", client, 0),
        lambda accepted: move_messages("recvmmsg", accepted, MESSAGE_WAITALL),
    ),
    (lambda client: client.sendall(REQUEST), peek_first),
)


def answer_plainly(accepted: socket.socket, client: socket.socket) -> None:
    accepted.sendall(RESPONSE)
    receive_exactly(client, len(RESPONSE))


def exchange(server: socket.socket, request: bytes) -> None:
    """All on one connection, one after the other."""
    with connected(server) as (client, accepted):
        for _ in range(EXCHANGES):
            client.sendall(request)
            receive_exactly(accepted, len(request))
            answer_plainly(accepted, client)


def exchange_by_every_call(server: socket.socket) -> None:
    with connected(server) as (client, accepted):
        for write, read in CALLS:
            write(client)
            read(accepted)
            answer_plainly(accepted, client)


def exchange_files(server: socket.socket) -> None:
    """The answer comes out of a file by sendfile and is spliced away from the socket: its bytes are never in a program."""
    with tempfile.TemporaryFile() as file, connected(server) as (client, accepted):
        file.write(RESPONSE)
        file.flush()
        reader, writer = os.pipe()
        for _ in range(EXCHANGES):
            client.sendall(REQUEST)
            receive_exactly(accepted, len(REQUEST))
            assert os.sendfile(accepted.fileno(), file.fileno(), 0, len(RESPONSE)) == len(RESPONSE)
            left = len(RESPONSE)
            while left:
                moved = os.splice(client.fileno(), writer, left)
                left -= len(os.read(reader, moved))
        os.close(reader)
        os.close(writer)


def expect(record: str, count: int, where: Expectation, total: Expectation | None = None) -> Expectation:
    return {"record": record, "where": {"process": os.getpid(), **where}, "count": count} | ({"sum": total} if total else {})


def exchanges_of(request: bytes, where: Expectation, count: int = EXCHANGES) -> list[Expectation]:
    """Seen at both ends."""
    total = {"request_bytes": count * len(request), "response_bytes": count * len(RESPONSE)}
    beginning = {"request": request[:192].decode(), "request_captured": min(len(request), 192)}
    return [expect("socket_exchange", count, {**where, **beginning, "role": role}, total) for role in ("client", "server")]


def over_tcp(
    exchange: Callable[[socket.socket], None], family: int, address: str, request: bytes = REQUEST, count: int = EXCHANGES
) -> list[Expectation]:
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        exchange(server)
    client, of_server = exchanges_of(request, {"transport": "tcp"}, count)
    client["where"]["remote_port"] = of_server["where"]["local_port"] = port
    return [client, of_server]


def exchange_over_unix() -> list[Expectation]:
    with tempfile.TemporaryDirectory(prefix="honeyguide-") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(folder, "socket")))
        server.listen()
        exchange(server, REQUEST)
        exchange_by_every_call(server)
    return exchanges_of(REQUEST, {"transport": "unix"}, EXCHANGES + len(CALLS))


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
    found = over_tcp(lambda server: exchange(server, REQUEST), socket.AF_INET, "127.0.0.1")
    found += over_tcp(lambda server: exchange(server, REQUEST), socket.AF_INET6, "::1")
    found += over_tcp(lambda server: exchange(server, LONG_REQUEST), socket.AF_INET, "127.0.0.1", LONG_REQUEST)
    found += over_tcp(exchange_by_every_call, socket.AF_INET, "127.0.0.1", count=len(CALLS))
    found += over_tcp(exchange_files, socket.AF_INET, "127.0.0.1")
    found += exchange_over_unix() + send_frames()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
