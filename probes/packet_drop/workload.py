"""Makes the kernel throw an exactly known number of packets away, and prints what the probe must have seen (one JSON line).

All of it happens in a network namespace of its own, which tells these drops from others.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import platform
import socket
import struct
import sys
from pathlib import Path
from typing import Any

TIMES = 23
PAYLOAD = 100
UDP_HEADER = 8
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
SET_INTERFACE_FLAGS, UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP
KERNEL = tuple(int(part) for part in platform.release().split(".")[:2])
# The kernel gives them, and the program that watches takes them.
HAS_REASONS = KERNEL >= (5, 17) and "count_drops_without_reason" not in sys.argv
Expectation = dict[str, Any]


def enter_own_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "unshare: a network namespace of our own needs CAP_SYS_ADMIN")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, struct.pack("16sH14x", b"lo", UP))


def expect(reason: str, network_type: str, transport: str, packets: int, **totals: int) -> Expectation:
    where: dict[str, Any] = {
        "netns": Path("/proc/self/ns/net").stat().st_ino,
        "network_type": network_type,
        "transport": transport,
    }
    if HAS_REASONS:
        where["reason"] = reason
    return {"record": "packet_drop", "where": where, "count": 1, "sum": {"packets": packets, **totals}}


def send_to_closed_port(family: socket.AddressFamily, address: str, network_type: str) -> Expectation:
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        for _ in range(TIMES):
            client.sendto(bytes(PAYLOAD), (address, 9))
    return expect("no_socket", network_type, "udp", TIMES, bytes=TIMES * (PAYLOAD + UDP_HEADER))


def connect_to_closed_port() -> Expectation:
    for _ in range(TIMES):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect_ex(("127.0.0.1", 9))
    return expect("no_socket", "ipv4", "tcp", TIMES)


def overflow_receive_buffer() -> Expectation:
    """As many as there is no room for: all that were sent but cannot be read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        for _ in range(TIMES):
            client.sendto(bytes(1000), server.getsockname())
        received = 0
        try:
            while server.recv(1 << 16):
                received += 1
        except BlockingIOError:
            return expect("socket_rcvbuff", "ipv4", "udp", TIMES - received)


if __name__ == "__main__":
    enter_own_network()
    expected = [
        send_to_closed_port(socket.AF_INET, "127.0.0.1", "ipv4"),
        send_to_closed_port(socket.AF_INET6, "::1", "ipv6"),
        connect_to_closed_port(),
    ]
    if HAS_REASONS:  # else these would be in one row with the first
        expected.append(overflow_receive_buffer())
    print(json.dumps(expected))
