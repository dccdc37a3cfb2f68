"""Messages as dnsmasq 2.90 sent them (question and answer, in hexadecimal), and a builder for those it never sends."""

from __future__ import annotations

import struct

A, NS, CNAME, PTR, MX, TXT, AAAA, SRV, HTTPS = 1, 2, 5, 12, 15, 16, 28, 33, 65

HEAD = "12348580"
WEB = "03776562076578616d706c65047465737400"  # web.example.test
ANSWERS = {
    "a": HEAD + "0001000100000000" + WEB + "00010001c00c0001000100000e100004c000020a",
    "cname": HEAD + "000100020000000103575757076578616d706c650474657374000001000"
    "1c00c000500010000012c001203776562076578616d706c65047465737400c02e0001000100000e100004c000020a00002904d0000000000000",
    "aaaa": HEAD + "0001000100000000" + WEB + "001c0001c00c001c000100000e10001020010db8000000000000000000000010",
    "srv": HEAD + "0001000100000002055f68747470045f746370076578616d706c6504746573740000210001c00c002100010000012c0018000000001f90"
    "03776562076578616d706c65047465737400c03b0001000100000e100004c000020ac03b001c000100000e10001020010db8000000000000000000000010",
    "ptr": HEAD + "0001000100000000023130013201300331393207696e2d61646472046172706100000c0001"
    "c00c000c00010000012c001203776562076578616d706c65047465737400",
    "txt": HEAD + "0001000100000000076578616d706c6504746573740000100001c00c001000010000012c00060568656c6c6f",
    "https": HEAD + "0001000100000000076578616d706c6504746573740000410001c00c004100010000012c0026"
    "0001000001000302683300040004c000020a0006001020010db8000000000000000000000010",
    "mx": HEAD + "0001000100000002076578616d706c65047465737400000f0001c00c000f00010000012c0014000a"
    + WEB
    + "c02c001c000100000e10001020010db8000000000000000000000010c02c0001000100000e100004c000020a",
    "nxdomain": "123481830001000000000000076e6f7468696e6704746573740000010001",
    "refused": "123481850001000000000000076578616d706c65036f72670000010001",
}  # fmt: skip
SAMPLES = {label: bytes.fromhex(text) for label, text in ANSWERS.items()}


def name(text: str) -> bytes:
    """Wire form of a name of plain labels."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def question(text: str = "web.example.test", kind: int = A, *, identifier: int = 1, flags: int = 0x0100) -> bytes:
    return struct.pack("!HHHHHH", identifier, flags, 1, 0, 0, 0) + name(text) + struct.pack("!HH", kind, 1)


def record(owner: bytes, kind: int, data: bytes, ttl: int = 60) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def response(asked: bytes, *records: bytes, code: int = 0, flags: int = 0x8180, announced: int | None = None) -> bytes:
    """The answer to `asked` with these answer records; announced: how many the header promises."""
    counts = struct.pack("!HHHH", 1, len(records) if announced is None else announced, 0, 0)
    return asked[:2] + struct.pack("!H", flags | code) + counts + asked[12:] + b"".join(records)


def address_answer(asked: bytes, *octets: bytes) -> bytes:
    return response(asked, *(record(b"\xc0\x0c", A if len(one) == 4 else AAAA, one) for one in octets))


def mapped(*octets: int) -> bytes:
    """IPv4 in 16 bytes."""
    return bytes(10) + b"\xff\xff" + bytes(octets)
