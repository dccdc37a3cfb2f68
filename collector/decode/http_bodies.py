"""How large the bodies of HTTP/1 exchanges were, a batch at a time: all but the head, where the end of that was captured."""

from __future__ import annotations

import numpy as np

from collector.batch import Column, Rows

HEAD_END = np.frombuffer(b"\r\n\r\n", "<u4")[0]
WORD = 4
STATUS_AT = 9  # "HTTP/1.1 100"
INTERIM = ord("1")


def fill_body_sizes(source: Rows, rows: Rows) -> None:
    """request_body_bytes, response_body_bytes of `rows` out of the exchanges `source`; -1 where nobody knows.

    Bytes on the wire, so a chunked body counts with its framing. Behind an interim answer the final head is not looked for.
    """
    rows["request_body_bytes"] = body_sizes(source["request"], source["request_captured"], source["request_bytes"])
    sizes = body_sizes(source["response"], source["response_captured"], source["response_bytes"])
    rows["response_body_bytes"] = np.where(source["response"][:, STATUS_AT] == INTERIM, -1, sizes)


def body_sizes(heads: Column, captured: Column, total: Column) -> Column:
    """int64 (n,), -1 not known. heads: uint8 (n, width), of which `captured` bytes are there; total: bytes of each message.

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
    sizes: Column = np.full(len(heads), -1, np.int64)
    whole = ends <= captured[rows]
    rows, ends = rows[whole], ends[whole]
    sizes[rows] = np.maximum(total[rows].astype(np.int64) - ends, -1)
    return sizes
