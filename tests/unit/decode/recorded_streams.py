"""Recordings of real connections: how they are made with tcpdump, and how tests read them.

A file holds {"connections": [{"chunks": [[side, nanoseconds, bytes], ...], ...}], ...}: a chunk is what one segment brought, zlib
and base64; times count from the recording's first chunk. What else is there is the server's own account of it.
"""

from __future__ import annotations

import base64
import json
import signal
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from collector.decode.request import Side

DATA = Path(__file__).resolve().parents[2] / "data"
Chunk = tuple[Side, int, bytes]
FIRST_NS = 1_000_000_000


def load(protocol: str, name: str) -> dict[str, Any]:
    return dict(json.loads((DATA / protocol / f"{name}.json").read_text()))


def read_connections(protocol: str, name: str) -> list[list[Chunk]]:
    return [
        [(Side(side), FIRST_NS + at, zlib.decompress(base64.b64decode(text))) for side, at, text in connection["chunks"]]
        for connection in load(protocol, name)["connections"]
    ]


def capture(port: int, path: Path, action: Callable[[], object]) -> list[dict[str, Any]]:
    """What goes over loopback to and from `port` while `action` runs, by connection in the order they opened."""
    arguments = [
        "tcpdump",
        "-i",
        "lo",
        "-s",
        "0",
        "-B",
        "8192",
        "-w",
        str(path),
        "--time-stamp-precision=nano",
        f"tcp port {port}",
    ]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        while "listening on" not in process.stderr.readline():
            pass
        action()
        time.sleep(1)  # until the last packets are in the file
        process.send_signal(signal.SIGINT)
        process.communicate()
    connections = _connect(_read_segments(path, port))
    first = min(chunks[0][1] for chunks in connections.values() if chunks)
    return [
        {"chunks": [[side, at - first, base64.b64encode(zlib.compress(data)).decode()] for side, at, data in chunks]}
        for chunks in connections.values()
        if chunks
    ]


def _read_segments(path: Path, port: int) -> Iterator[tuple[int, int, int, int, bytes]]:
    """(client's port, side, time, sequence number, payload) of each segment; a SYN has the payload b'SYN'."""
    content = path.read_bytes()
    position = 24
    while position + 16 <= len(content):
        seconds, nanoseconds, size, _ = struct.unpack_from("<IIII", content, position)
        packet = content[position + 16 + 14 : position + 16 + size]
        position += 16 + size
        head, total = (packet[0] & 15) * 4, struct.unpack_from(">H", packet, 2)[0]
        source, target, sequence = struct.unpack_from(">HHI", packet, head)
        payload = b"SYN" if packet[head + 13] & 2 else packet[head + (packet[head + 12] >> 4) * 4 : total]
        side = 0 if target == port else 1
        yield source if side == 0 else target, side, seconds * 10**9 + nanoseconds, sequence, payload


def _connect(segments: Iterator[tuple[int, int, int, int, bytes]]) -> dict[int, list[tuple[int, int, bytes]]]:
    """Chunks by client's port; loopback keeps the order, so anything else is an error of the recording."""
    connections: dict[int, list[tuple[int, int, bytes]]] = {}
    expected: dict[tuple[int, int], int] = {}
    for client, side, at, sequence, payload in segments:
        chunks = connections.setdefault(client, [])
        key = client, side
        if payload == b"SYN":
            expected[key] = sequence + 1
        elif payload:
            assert sequence == expected.get(key, sequence) & 0xFFFFFFFF, "the capture has lost packets"
            expected[key] = sequence + len(payload)
            chunks.append((side, at, payload))
    return connections


def write(protocol: str, name: str, content: dict[str, Any]) -> None:
    (DATA / protocol / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
