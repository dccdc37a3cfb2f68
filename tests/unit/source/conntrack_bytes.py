"""Messages of nf_conntrack as the kernel writes them, and a recorded one."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

NEW, DESTROY, DONE, ERROR = 0x100, 0x102, 3, 2
# Written by Linux 6.18 when a connection from 10.1.0.5 to the service address 10.96.0.1:80 was sent on to 10.2.0.7:8080.
RECORDED = bytes.fromhex(
    "c4000000000100060000000000000000020000003400018014000180080001000a010005080002000a6000011c0002800500010006000000"
    "06000200bad8000006000300005000003400028014000180080001000a020007080002000a0100051c000280050001000600000006000200"
    "1f90000006000300bad8000008000c00fbbb907508000300000001a80800070000000078300004802c000180050001000100000005000200"
    "0a000000050003000000000006000400030000000600050000000000"
)


@dataclass(frozen=True)
class Ends:
    """source, destination: address|port."""

    source: str
    destination: str
    protocol: int = 6


def attribute(kind: int, content: bytes) -> bytes:
    length = 4 + len(content)
    return struct.pack("=HH", length, kind) + content + bytes(-length % 4)


def nested(kind: int, *inside: bytes) -> bytes:
    return attribute(kind | 0x8000, b"".join(inside))


def tuple_of(kind: int, ends: Ends) -> bytes:
    addresses, ports = [], []
    for text in (ends.source, ends.destination):
        address, _, port = text.partition("|")
        addresses.append(ipaddress.ip_address(address))
        ports.append(int(port).to_bytes(2, "big"))
    first = 1 if addresses[0].version == 4 else 3
    ip = nested(1, *(attribute(first + index, address.packed) for index, address in enumerate(addresses)))
    number = attribute(1, bytes([ends.protocol]))
    return nested(kind, ip, nested(2, number, attribute(2, ports[0]), attribute(3, ports[1])))


def message(kind: int, original: Ends, reply: Ends, flags: int = 0, status: int = 0x1AE) -> bytes:
    """status: by itself as of a TCP connection whose destination was rewritten."""
    family = 2 if "." in original.source else 10
    body = bytes([family, 0, 0, 0]) + tuple_of(1, original) + tuple_of(2, reply) + attribute(3, status.to_bytes(4, "big"))
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def control(kind: int, content: bytes = bytes(4), flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(content), kind, flags, 0, 0) + content
