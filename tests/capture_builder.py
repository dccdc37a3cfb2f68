"""Packet captures made by hand: packets from the inside out, and the files around them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

CLIENT, SERVER = ("192.0.2.1", 40000), ("192.0.2.80", 80)
CLIENT6, SERVER6 = ("2001:db8::1", 40000), ("2001:db8::80", 80)
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERNET, NULL, RAW, LOOP, COOKED, COOKED_2 = 1, 0, 101, 108, 113, 276
SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
MILLISECOND = 1_000_000
End = tuple[str, int]
Stamped = tuple[int, bytes]


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def tcp(ports: tuple[int, int], payload: bytes = b"", sequence: int = 0, acknowledgement: int = 0, flags: int = ACK) -> bytes:
    """With four bytes of options."""
    numbers = sequence % (1 << 32), acknowledgement % (1 << 32)
    return struct.pack("!HHIIBBHHH", *ports, *numbers, 6 << 4, flags, 1000, 0, 0) + b"\x01" * 4 + payload


def udp(ports: tuple[int, int], payload: bytes) -> bytes:
    return struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload


def ipv4(ends: tuple[str, str], inner: bytes, protocol: int = 6, fragment: int = 0x4000, options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, words * 4 + len(inner), 1, fragment, 64, protocol, 0)
    return head + packed(ends[0]) + packed(ends[1]) + options + inner


def ipv6(ends: tuple[str, str], inner: bytes, protocol: int = 6) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(inner), protocol, 64) + packed(ends[0]) + packed(ends[1]) + inner


def segment(source: End, destination: End, payload: bytes = b"", **numbers: int) -> bytes:
    """An IP packet."""
    ip = ipv6 if ":" in source[0] else ipv4
    return ip((source[0], destination[0]), tcp((source[1], destination[1]), payload, **numbers))


def datagram(source: End, destination: End, payload: bytes) -> bytes:
    ip = ipv6 if ":" in source[0] else ipv4
    return ip((source[0], destination[0]), udp((source[1], destination[1]), payload), 17)


def ethernet(packet: bytes, *vlans: int) -> bytes:
    """vlans: EtherTypes of tags, outermost first."""
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return bytes(12) + b"".join(struct.pack("!HH", tag, 7) for tag in vlans) + struct.pack("!H", kind) + packet


def linked(link_type: int, packet: bytes) -> bytes:
    """The packet behind the header of that link type."""
    kind = struct.pack("!H", 0x86DD if packet[0] >> 4 == 6 else 0x0800)
    heads = {
        ETHERNET: bytes(12) + kind,
        RAW: b"",
        NULL: struct.pack("<I", 2),
        LOOP: struct.pack(">I", 2),
        COOKED: bytes(14) + kind,
        COOKED_2: kind + bytes(18),
    }
    return heads[link_type] + packet


def pcap(packets: Iterable[Stamped], link_type: int = RAW, order: str = "<", tick: int = 1000, snapshot: int = 1 << 18) -> bytes:
    """tick: ns in a unit of the fraction, 1000 or 1."""
    magic = 0xA1B2C3D4 if tick == 1000 else 0xA1B23C4D
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snapshot, link_type)]
    for time, data in packets:
        seen = data[:snapshot]
        parts.append(struct.pack(order + "IIII", time // SECOND, time % SECOND // tick, len(seen), len(data)) + seen)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int = RAW, order: str = "<", options: bytes = b"", snapshot: int = 0) -> bytes:
    end = option(0, b"", order) if options else b""
    return block(1, struct.pack(order + "HHI", link_type, 0, snapshot) + options + end, order)


def enhanced(ticks: int, data: bytes, number: int = 0, order: str = "<", length: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length or len(data))
    return block(6, head + data + bytes(-len(data) % 4), order)


def simple(data: bytes, order: str = "<") -> bytes:
    return block(3, struct.pack(order + "I", len(data)) + data, order)


def conversation(
    steps: Sequence[tuple[str, bytes]], client: End = CLIENT, server: End = SERVER, first: tuple[int, int] = (1000, 5000)
) -> list[Stamped]:
    """IP packets of a whole connection, a millisecond apart: opened, the steps ("client" | "server", bytes), closed."""
    ends = {"client": (client, server), "server": (server, client)}
    position = {"client": first[0], "server": first[1]}
    made: list[bytes] = []

    def send(who: str, payload: bytes = b"", flags: int = ACK) -> None:
        other = "server" if who == "client" else "client"
        numbers = {"sequence": position[who], "acknowledgement": position[other] if flags & ACK else 0}
        made.append(segment(*ends[who], payload, flags=flags, **numbers))
        position[who] += len(payload) + (1 if flags & (SYN | FIN) else 0)

    send("client", flags=SYN)
    send("server", flags=SYN | ACK)
    send("client")
    for who, payload in steps:
        send(who, payload, ACK | PSH)
    send("client", flags=FIN | ACK)
    send("server", flags=FIN | ACK)
    send("client")
    return [(START + place * MILLISECOND, packet) for place, packet in enumerate(made)]


def request(path: str = "/items/1", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return (b"POST" if body else b"GET") + b" " + path.encode() + b" HTTP/1.1\r\nHost: shop\r\n" + length + b"\r\n" + body


def answer(body: bytes = b"ok", status: int = 200) -> bytes:
    return b"HTTP/1.1 %d Some\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
