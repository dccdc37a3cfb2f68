"""Does a little of everything that the boards show, again and again, until it is ended.

Prints the port of its name server, then waits for a line on its standard input.
"""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + content


def fields(*pairs: tuple[bytes, bytes]) -> bytes:
    """Literals without a table, RFC 7541, 6.2.2."""
    return b"".join(b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in pairs)


def call_bytes(path: bytes) -> bytes:
    head = fields((b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b"content-type", b"application/grpc"))
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
    return preface + frame(1, 4, 1, head) + frame(0, 1, 1, bytes(5))


def answer_bytes(status: bytes) -> bytes:
    head = fields((b":status", b"200"), (b"content-type", b"application/grpc"))
    return frame(4, 0, 0, b"") + frame(1, 4, 1, head) + frame(1, 5, 1, fields((b"grpc-status", status)))


ADDRESS = "127.0.0.1"
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
TALKS = (  # what is asked and answered over one connection: HTTP, Redis, gRPC
    (
        (b"GET /users/1000 HTTP/1.1\r\nHost: shop\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (b"GET /broken HTTP/1.1\r\nHost: shop\r\n\r\n", b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n"),
    ),
    (
        (b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"$1\r\nb\r\n"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\nc\r\n", b"-WRONGTYPE no\r\n"),
    ),
    ((call_bytes(b"/shop.Cart/Add"), answer_bytes(b"0")),),
    ((call_bytes(b"/shop.Cart/Pay"), answer_bytes(b"14")),),
)
NAMES = ("known.test", "missing.test", "silent.test")


def listening() -> socket.socket:
    return socket.create_server((ADDRESS, 0))


def unused_port() -> int:
    with closing(listening()) as server:
        port: int = server.getsockname()[1]
        return port


def echo(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=echo_connection, args=[connection], daemon=True).start()


def echo_connection(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except ConnectionResetError:
            return


def serve_names(server: socket.socket) -> None:
    """Answers A queries for known.test, denies missing.test, says nothing to silent.test."""
    while True:
        query, client = server.recvfrom(512)
        if b"silent" in query:
            continue
        missing = b"missing" in query
        flags, answers = (
            (0x8183, b"") if missing else (0x8180, b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01")
        )
        header = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if answers else 0, 0, 0)
        server.sendto(header + query[12:] + answers, client)


def ask(name: str, port: int, number: int) -> None:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(0.05)
        client.connect((ADDRESS, port))
        client.send(query)
        try:
            client.recv(512)
        except TimeoutError:
            return


def exchange(port: int, reset: bool) -> None:
    with closing(socket.create_connection((ADDRESS, port))) as client:
        client.sendall(b"x" * 20_000)
        client.recv(65536)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)


def read(connection: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(connection.recv(size)) or size


def serve_talk(server: socket.socket, talk: Sequence[tuple[bytes, bytes]]) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            for asked, answered in talk:
                read(connection, len(asked))
                connection.sendall(answered)
            connection.recv(1)


def converse(port: int, talk: Sequence[tuple[bytes, bytes]]) -> None:
    with closing(socket.create_connection((ADDRESS, port))) as client:
        for asked, answered in talk:
            client.sendall(asked)
            read(client, len(answered))


def be_refused(port: int) -> None:
    with closing(socket.socket()) as client:
        client.connect_ex((ADDRESS, port))


def send_to_nobody(port: int) -> None:
    """The kernel drops the datagram: no_socket."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.sendto(b"nobody", (ADDRESS, port))


def be_killed() -> None:
    process = subprocess.Popen(["sleep", "60"])
    process.kill()
    process.wait()


def main() -> None:
    stop, number = threading.Event(), 0
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server, names = listening(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind((ADDRESS, 0))
    port, name_port, nobody = server.getsockname()[1], names.getsockname()[1], unused_port()
    threading.Thread(target=echo, args=[server], daemon=True).start()
    threading.Thread(target=serve_names, args=[names], daemon=True).start()
    talkers = [(listening(), talk) for talk in TALKS]
    for talker in talkers:
        threading.Thread(target=serve_talk, args=talker, daemon=True).start()
    print(name_port, flush=True)
    sys.stdin.readline()
    with closing(socket.create_connection((ADDRESS, port))) as kept:
        while not stop.wait(0.2):
            number += 1
            kept.sendall(b"still here")
            kept.recv(100)
            for reset in (False, True):
                exchange(port, reset)
            for talker, talk in talkers:
                converse(talker.getsockname()[1], talk)
            be_refused(nobody)
            send_to_nobody(nobody)
            for name in NAMES:
                ask(name, name_port, number)
            be_killed()
            subprocess.run(["true"], check=True)


if __name__ == "__main__":
    main()
