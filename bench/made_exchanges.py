"""HTTP exchanges as the kernel half of `socket_data` reports them, made from their number: one nginx, 64 connections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from collector.batch import Rows
from collector.catalog.probe_folder import Probe, read_probe

CONNECTIONS, PATHS = 64, 20
STARTED_AT, STEP_NS, TOOK_NS = 1_000_000_000_000, 25_000, 180_000  # 40,000 requests a second
SERVER_ROLE = 2
REQUEST = b"GET /%s HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n"
ANSWER = (
    b"HTTP/1.1 %d OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 18:00:00 GMT\r\n"
    b"Content-Type: text/html\r\nContent-Length: 612\r\n"
)
PATH_FORMS = (b"index.html", b"api/items/%d", b"static/logo.svg?v=%d", b"api/orders/%d/lines")


def exchange_probe() -> Probe:
    return read_probe(Path(__file__).resolve().parent.parent / "probes/socket_data", None)


def make_exchanges(dtype: np.dtype[np.void], first: int, count: int) -> Rows:
    """`count` exchanges from number `first` on; one in a hundred is a 404, one in a thousand a 500."""
    number = np.arange(first, first + count, dtype=np.uint64)
    rows = np.zeros(count, dtype)
    started = STARTED_AT + number * STEP_NS
    columns = {
        "flow": 1 + number % CONNECTIONS,
        "request_started_at": started,
        "request_ended_at": started + 2_000,
        "response_started_at": started + TOOK_NS - 9_000,
        "response_ended_at": started + TOOK_NS,
        "request_bytes": 90,
        "response_bytes": 845,
        "process": 700 + number % 2,
        "process_started_at": 5_000_000_000,
        "thread": 700 + number % 2,
        "sequence": number // CONNECTIONS,
        "role": SERVER_ROLE,
        "local_port": 8080,
        "remote_port": 40_000 + number % CONNECTIONS,
    }
    for name, values in columns.items():
        rows[name] = values
    rows["cgroup"], rows["netns"], rows["command"] = 1, 4026531840, b"nginx"
    rows["local_address"] = np.void(bytes(10) + b"\xff\xff\x0a\x01\x00\x01")
    rows["remote_address"] = np.void(bytes(10) + b"\xff\xff\x0a\x01\x00\x02")
    fill_heads(rows, number)
    return rows


def fill_heads(rows: Rows, number: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> None:
    """A few hundred distinct request lines, as a service has them."""
    asked = [REQUEST % (form % place if b"%" in form else form) for place in range(PATHS) for form in PATH_FORMS]
    answers = [ANSWER % status for status in (200, 404, 500)]
    which = np.where(number % 1000 == 7, 2, np.where(number % 100 == 3, 1, 0))
    for name, texts, chosen in (("request", asked, number % len(asked)), ("response", answers, which)):
        width = rows[name].shape[1]
        table = np.array([np.frombuffer(text.ljust(width, b"\0")[:width], np.uint8) for text in texts])
        rows[name] = table[chosen.astype(np.intp)]
        rows[f"{name}_captured"] = np.array([min(len(text), width) for text in texts])[chosen.astype(np.intp)]
