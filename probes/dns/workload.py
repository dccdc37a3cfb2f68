"""Asks an exactly known number of questions, and prints what the probe must have seen (one JSON line).

The server is a thread of this process, on port 53 of a network namespace of its own: nothing else on the node is in the way.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import threading
from typing import Any

TIMES = 23
PORT = 53
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
SET_INTERFACE_FLAGS, UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP
TYPE_A, TYPE_AAAA = 1, 28
Expectation = dict[str, Any]


def enter_own_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "unshare: a network namespace of our own needs CAP_SYS_ADMIN")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, struct.pack("16sH14x", b"lo", UP))


def question(identifier: int, kind: int) -> bytes:
    name = b"\4name\x0ahoneyguide\4test\0"
    return struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", kind, 1)


def answer(asked: bytes) -> bytes:
    """127.0.0.23 for an A question, NXDOMAIN for all others."""
    kind = struct.unpack("!H", asked[-4:-2])[0]
    if kind != TYPE_A:
        return asked[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + asked[12:]
    record = struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, 60, 4) + bytes((127, 0, 0, 23))
    return asked[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + asked[12:] + record


def framed(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


def read_framed(stream: socket.socket) -> bytes:
    return stream.recv(struct.unpack("!H", stream.recv(2, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)


def serve_datagrams(server: socket.socket, times: int) -> None:
    for _ in range(times):
        asked, peer = server.recvfrom(512)
        server.sendto(answer(asked), peer)


def serve_stream(listener: socket.socket, times: int) -> None:
    stream, _ = listener.accept()
    with stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            stream.sendall(framed(answer(read_framed(stream))))


def ask_over_udp(family: socket.AddressFamily, address: str, *, connect: bool) -> list[Expectation]:
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        server.bind((address, PORT))
        serving = threading.Thread(target=serve_datagrams, args=(server, TIMES), daemon=True)
        serving.start()
        client.settimeout(5)
        if connect:
            client.connect((address, PORT))
        for number in range(TIMES):
            message = question(number, TYPE_A if number % 2 else TYPE_AAAA)
            client.send(message) if connect else client.sendto(message, (address, PORT))
            client.recv(512)
        serving.join()
        return expect("udp", address, client.getsockname()[1], TIMES)


def ask_over_tcp() -> list[Expectation]:
    """One connection; every question and every answer is a segment."""
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        serving = threading.Thread(target=serve_stream, args=(listener, TIMES), daemon=True)
        serving.start()
        with socket.create_connection(("127.0.0.1", PORT), timeout=5) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = client.getsockname()[1]
            for number in range(TIMES):
                client.sendall(framed(question(number, TYPE_A)))
                read_framed(client)
        serving.join()
        return expect("tcp", "127.0.0.1", port, TIMES)


def expect(transport: str, address: str, client_port: int, times: int) -> list[Expectation]:
    """Each message is seen where it is sent and where it is received."""
    asked = times * (len(question(0, TYPE_A)) + 2 * (transport == "tcp"))
    at_client = {"local_port": client_port, "remote_port": PORT, "remote_address": address, "transport": transport}
    at_server = {"local_port": PORT, "remote_port": client_port, "local_address": address, "transport": transport}
    own = {"process": os.getpid()}
    return [
        message(times, at_client | own | {"direction": "sent"}, {"payload_length": asked, "captured_length": asked}),
        message(times, at_server | {"direction": "received"}, {"payload_length": asked}),
        message(times, at_server | own | {"direction": "sent"}),
        message(times, at_client | {"direction": "received"}),
    ]


def message(times: int, where: dict[str, Any], total: dict[str, int] | None = None) -> Expectation:
    return {"record": "dns_message", "where": where, "count": times} | ({"sum": total} if total else {})


if __name__ == "__main__":
    enter_own_network()
    seen = ask_over_udp(socket.AF_INET, "127.0.0.1", connect=True)
    seen += ask_over_udp(socket.AF_INET, "127.0.0.1", connect=False)
    seen += ask_over_udp(socket.AF_INET6, "::1", connect=True)
    seen += ask_over_tcp()
    print(json.dumps(seen))
