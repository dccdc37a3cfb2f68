"""First bytes of connections that are none of the databases' protocols, by (what, side)."""

from __future__ import annotations

import random

from collector.decode.request import Side

C, S = Side.CLIENT, Side.SERVER
CLIENT_HELLO = bytes.fromhex(
    "16030100f8010000f403035b90a1a1ea0e5a1b8d0d2e9c1f0d3a6bb1d3e47f1d9e5a3a0c1b2d3e4f5061722051c8ce2a1c9d8a5b7e6f4031221304958677a9bacb"
)
SERVER_HELLO = bytes.fromhex("160303007a020000760303d4c3b2a19f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a3928170620") + bytes(
    range(80)
)
FOREIGN = [
    ("TLS", C, CLIENT_HELLO),
    ("TLS 1.0", C, CLIENT_HELLO[:3] + b"\x00\x03" + CLIENT_HELLO[5:]),
    ("TLS", S, SERVER_HELLO),
    ("TLS data", C, b"\x17\x03\x03\x00\x1c" + bytes(range(100, 128))),
    ("TLS data", S, b"\x17\x03\x03\x00\x0e" + bytes(range(100, 114))),
    ("TLS alert", S, b"\x15\x03\x03\x00\x02\x02\x28"),
    ("SSH", C, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
    ("SSH", S, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
    ("SSH key exchange", C, b"\x00\x00\x05\xdc\x07\x14" + bytes(range(200))),
    ("HTTP", C, b"GET /path HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("HTTP", C, b"POST /path HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"),
    ("HTTP", S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("HTTP/2", C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    (
        "HTTP/2",
        S,
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00\x00\x05\x00\xff\xff\xff",
    ),
    ("SMTP", C, b"EHLO example.org\r\n"),
    ("SMTP", S, b"220 mail.example.org ESMTP\r\n"),
    ("FTP", C, b"USER anonymous\r\n"),
    ("IMAP", S, b"* OK IMAP4 ready\r\n"),
    ("memcached", C, b"\x80\x01\x00\x03\x08\x00\x00\x00\x00\x00\x00\x0e\x00\x00\x00\x00" + bytes(30)),
    ("MQTT", C, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"),
    ("AMQP", C, b"AMQP\x00\x00\x09\x01"),
    ("Kafka", C, b"\x00\x00\x00\x1a\x00\x12\x00\x03\x00\x00\x00\x01\x00\x07console\x00\x08librdkaf"),
    ("MongoDB", C, b"\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00admin.$cmd\x00" + bytes(20)),
    ("Cassandra", C, b"\x04\x00\x00\x00\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0"),
    ("NATS", S, b'INFO {"server_id":"x"}\r\n'),
    ("DNS", C, b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"),
    ("SOCKS", C, b"\x05\x01\x00"),
    ("X11", C, b"l\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("RDP", C, b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"),
    ("rsync", S, b"@RSYNCD: 31.0\n"),
    ("zeros", C, bytes(64)),
    ("zeros", S, bytes(64)),
    ("text", C, b"Hello, world. This is no protocol.\n"),
    ("text", S, b"Quite a lot of text, many words.\n"),
    ("JSON", C, b'{"method": "SELECT", "params": [1, 2, 3]}\n'),
]


def random_bytes(count: int = 3000) -> list[tuple[str, Side, bytes]]:
    chance = random.Random(7)
    return [(f"random {n}", Side(n & 1), chance.randbytes(chance.randrange(16, 200))) for n in range(count)]
