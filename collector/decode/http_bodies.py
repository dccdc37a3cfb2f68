"""Where the bodies of HTTP/1 messages begin: behind the first empty line, where that was captured."""

from __future__ import annotations

import numpy as np

from collector.batch import Column

HEAD_END = np.frombuffer(b"\r\n\r\n", "<u4")[0]
WORD = 4


def find_body(head: bytes) -> int:
    """Of one message; 0 when the end of its head is not there."""
    at = head.find(b"\r\n\r\n")
    return at + WORD if at >= 0 else 0


def find_bodies(heads: Column, captured: Column) -> Column:
    """The same for heads, uint8 (n, width), of which `captured` bytes are there: int64 (n,).

    Compares four bytes at once, at each of four alignments: over all rows together, as a call per row would cost more.
    """
    width = heads.shape[1]
    flat = np.ascontiguousarray(heads).reshape(-1)
    found = [
        np.flatnonzero(flat[shift : shift + (len(flat) - shift) // WORD * WORD].view("<u4") == HEAD_END) * WORD + shift
        for shift in range(WORD)
    ]
    rows, ends = np.divmod(np.sort(np.concatenate(found)), width)
    rows, first = np.unique(rows, return_index=True)
    ends = ends[first] + WORD
    whole = ends <= captured[rows]
    bodies: Column = np.zeros(len(heads), np.int64)
    bodies[rows[whole]] = ends[whole]
    return bodies
