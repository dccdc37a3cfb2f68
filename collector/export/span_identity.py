"""Ids of spans, and what a W3C traceparent says."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from collector.batch import Batch

TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
# Span.flags: the parent's context is remote, and that this is known.
REMOTE_PARENT = 0x300


class RemoteParent(NamedTuple):
    """The span that the caller named. flags: W3C trace flags."""

    trace_id: bytes
    span_id: bytes
    flags: int


def read_trace_parent(value: str) -> RemoteParent | None:
    """None when there is none, or it is not valid (W3C Trace Context, 3.2.2): then it must be ignored."""
    found = TRACE_PARENT.fullmatch(value) if value else None
    return RemoteParent(bytes.fromhex(found[1]), bytes.fromhex(found[2]), int(found[3], 16)) if found else None


@dataclass(slots=True)
class IdSource:
    """Random ids, seeded by the kernel's randomness: unpredictable enough to be unique, much faster than os.urandom for each."""

    _generator: np.random.Generator = field(default_factory=lambda: np.random.Generator(np.random.SFC64(list(os.urandom(32)))))

    def trace_ids(self, count: int) -> list[bytes]:
        return self._ids(count, 16)

    def span_ids(self, count: int) -> list[bytes]:
        return self._ids(count, 8)

    def _ids(self, count: int, size: int) -> list[bytes]:
        """The last byte is never 0: an id of zeros is none."""
        drawn = np.frombuffer(self._generator.bytes(count * size), np.uint8).reshape(count, size).copy()
        drawn[:, -1] |= drawn[:, -1] == 0
        return [row.tobytes() for row in drawn]


def identify(batch: Batch, ids: IdSource) -> None:
    """Adds the columns trace_id and span_id (object: bytes, b'' for rows that are not sampled), unless they are there.

    Before the batch is aggregated, so that exemplars can name the spans.
    """
    if "span_id" in batch.columns:
        return
    trace_ids, span_ids = np.full((2, len(batch)), b"", object)
    sampled = np.flatnonzero(batch.rows["sampled"])
    made = ids.trace_ids(len(sampled))
    for place, details in enumerate(batch.columns["details"][sampled] if "details" in batch.columns else ()):
        remote = read_trace_parent(details.trace_parent) if details is not None and details.trace_parent else None
        if remote is not None:
            made[place] = remote.trace_id
    trace_ids[sampled], span_ids[sampled] = made, ids.span_ids(len(sampled))
    batch.columns["trace_id"], batch.columns["span_id"] = trace_ids, span_ids
