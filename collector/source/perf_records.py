"""The records of a perf buffer, as bytes in a row. Pure: bytes in, rows and what did not fit out.

Layout (perf_event_open(2)): {u32 type, u16 misc, u16 size}, of which PERF_RECORD_SAMPLE carries {u32 size, bytes},
rounded up so that the whole is a multiple of 8.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from collector.batch import Rows

RECORD_LOST, RECORD_SAMPLE = 2, 9
HEADER_BYTES, SIZE_BYTES = 8, 4
LOST_COUNT = 16  # where PERF_RECORD_LOST has its count, after header and id
LONGEST_RUN = 8192  # records looked at in one go


def record_layout(dtype: np.dtype[np.void]) -> np.dtype[Any]:
    """A sample that carries one row of `dtype`."""
    return np.dtype(
        {
            "names": ["type", "size", "payload"],
            "formats": [np.uint32, np.uint16, dtype],
            "offsets": [0, 6, HEADER_BYTES + SIZE_BYTES],
            "itemsize": (HEADER_BYTES + SIZE_BYTES + dtype.itemsize + 7) // 8 * 8,
        }
    )


def unwrap(pages: mmap.mmap | bytes, start: int, size: int, tail: int, head: int) -> bytes:
    """A copy of what lies between the positions `tail` and `head`; the data area (at `start`) is there only once."""
    place = tail % size
    first = min(head - tail, size - place)
    return pages[start + place : start + place + first] + pages[start : start + head - tail - first]


def parse_records(content: bytes, layout: np.dtype[Any]) -> tuple[Rows, int, int]:
    """(rows in order, undecodable, lost): samples of another size are undecodable, so is a record cut short.

    lost: what PERF_RECORD_LOST says; a program that sees the output helper fail counts the same itself.
    """
    runs, offset, undecodable, lost = [np.empty(0, layout["payload"])], 0, 0, 0
    while offset + HEADER_BYTES <= len(content):
        run = take_run(content, offset, layout)
        if len(run):
            runs.append(run)
            offset += len(run) * layout.itemsize
        else:
            if int.from_bytes(content[offset : offset + 4], "little") == RECORD_LOST:
                lost += int.from_bytes(content[offset + LOST_COUNT : offset + LOST_COUNT + 8], "little")
            else:
                undecodable += 1
            size = int.from_bytes(content[offset + 6 : offset + 8], "little")
            offset += max((size + 7) // 8 * 8, HEADER_BYTES)
    return np.concatenate(runs), undecodable, lost


def take_run(content: bytes, offset: int, layout: np.dtype[Any]) -> Rows:
    """The longest run of samples of the right size that begins at `offset`; empty when there is something else."""
    count = min((len(content) - offset) // layout.itemsize, LONGEST_RUN)
    ready = np.frombuffer(content, layout, count=count, offset=offset)
    usable = (ready["type"] == RECORD_SAMPLE) & (ready["size"] == layout.itemsize)
    rows: Rows = ready["payload"][: count if usable.all() else int(np.argmin(usable))]
    return rows
