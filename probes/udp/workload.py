"""Exchanges an exactly known number of datagrams on loopback, and prints what the probe must have seen (one JSON line)."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

TIMES = 23
SIZES = [17 + 40 * index for index in range(TIMES)]  # of the questions; the answers are twice as long
SEGMENT = 1000
SEGMENTS = 23
UDP_SEGMENT = 103  # include/uapi/linux/udp.h; not in Python's socket module
# Programs that watch calls instead of packets count one call with UDP_SEGMENT as one datagram.
PER_CALL = any(program.startswith("count_sent_") for program in sys.argv[1:])
Expectation = dict[str, Any]


def bind(family: socket.AddressFamily, address: str) -> socket.socket:
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    server.settimeout(5)
    server.bind((address, 0))
    return server


def expect(local: socket.socket, remote: socket.socket, role: str, sent: list[int], received: list[int]) -> Expectation:
    """One flow at `local` that sent and received datagrams of these sizes."""
    where = {
        "local_port": local.getsockname()[1],
        "remote_port": remote.getsockname()[1],
        "process": os.getpid(),
        "role": role,
    }
    totals = {
        "bytes_sent": sum(sent),
        "bytes_received": sum(received),
        "datagrams_sent": len(sent),
        "datagrams_received": len(received),
    }
    return {"record": "udp_flow", "where": where, "count": 1, "sum": totals}


def converse(client: socket.socket, server: socket.socket, address: tuple[str, int]) -> list[Expectation]:
    """Questions from an unconnected socket and their answers: seen once at each end."""
    client.settimeout(5)
    for size in SIZES:
        client.sendto(bytes(size), address)
        question, peer = server.recvfrom(1 << 16)
        server.sendto(question * 2, peer)
        client.recv(1 << 16)
    answers = [2 * size for size in SIZES]
    return [expect(client, server, "client", SIZES, answers), expect(server, client, "server", answers, SIZES)]


def converse_in_every_family() -> list[Expectation]:
    """IPv4, IPv6, and IPv4 through an IPv6 socket."""
    seen: list[Expectation] = []
    families = [
        (socket.AF_INET, socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"),
    ]
    for client_family, server_family, address, target in families:
        with bind(server_family, address) as server, socket.socket(client_family, socket.SOCK_DGRAM) as client:
            expected = converse(client, server, (target, server.getsockname()[1]))
            shown = target if ":" in target else f"::ffff:{target}"
            for expectation in expected:
                expectation["where"] |= {"local_address": shown, "remote_address": shown}
            seen += expected
    return seen


def send_in_segments() -> list[Expectation]:
    """One call that the kernel cuts into datagrams (UDP_SEGMENT), to a socket that never answers: bind() tells whose it is."""
    with bind(socket.AF_INET, "127.0.0.1") as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(server.getsockname())
        client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, SEGMENT)
        client.send(bytes(SEGMENT * SEGMENTS - 1))
        for _ in range(SEGMENTS):
            server.recv(1 << 16)
        sizes = [SEGMENT] * (SEGMENTS - 1) + [SEGMENT - 1]
        sent = [sum(sizes)] if PER_CALL else sizes
        return [expect(client, server, "client", sent, []), expect(server, client, "server", [], sizes)]


if __name__ == "__main__":
    print(json.dumps(converse_in_every_family() + send_in_segments()))
