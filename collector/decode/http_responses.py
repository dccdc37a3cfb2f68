"""What the heads of HTTP/1 answers say, as columns: by heads that were seen before, else line by line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.batch import Column
from collector.decode.http_bodies import find_bodies, find_body
from collector.decode.http_lines import LONGEST_STATUS, STATUS_AT, read_statuses
from collector.decode.known_heads import KnownHeads
from collector.decode.protocols.http1_head import read_response_head

INTERIM = ord("1")


class ResponseColumns(NamedTuple):
    """int64 (n,). status: the final one, 0 where there is none to be read. body_at: where the body begins, 0 where that was
    not captured; behind an interim answer it is not looked for."""

    status: Column
    body_at: Column


class ResponseHeads:
    """Keeps what it learned about heads, bounded."""

    def __init__(self) -> None:
        self._heads = KnownHeads(read_head)

    def read(self, heads: Column, captured: Column) -> ResponseColumns:
        """heads: uint8 (n, width), of which `captured` bytes are there."""
        found = self._heads.find(heads, captured)
        if found is not None:
            status, body_at = found.astype(np.int64)
            return ResponseColumns(status, body_at)
        status = read_statuses(heads, captured)
        for row in np.flatnonzero((status > 0) & (status < 200)).tolist():
            status[row] = status_after_interim(heads[row, : captured[row]].tobytes())
        return ResponseColumns(status, np.where(heads[:, STATUS_AT] == INTERIM, 0, find_bodies(heads, captured)))


def read_head(head: bytes) -> tuple[int, int]:
    """(status, body_at) of one head."""
    text = head[STATUS_AT : STATUS_AT + 3]
    status = int(text) if head.startswith(b"HTTP/1.") and text.isdigit() and len(text) == 3 else 0
    if not 100 <= status < LONGEST_STATUS:
        status = 0
    if 0 < status < 200:
        status = status_after_interim(head)
    return status, 0 if text[:1] == b"1" else find_body(head)


def status_after_interim(head: bytes) -> int:
    """The final status behind 1xx answers (RFC 9110, 15.2), or 101 itself; 0 when the capture ends before it."""
    while (answer := read_response_head(head)) is not None:
        if answer.status == 101 or answer.status >= 200:
            return answer.status
        if not answer.size:
            return 0
        head = head[answer.size :]
    return 0
