"""What requests say about the trace they belong to, as columns: enough to decide alike about all requests of one trace."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from collector.batch import Column

HEADER = b"raceparent:"  # the first letter may be a capital; other spellings are rare and only lose the preference
VALUE = re.compile(rb"[ \t]*((?!ff)[0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?=[-\r\n \t]|\Z)")
RANDOM_DIGITS = 14  # the 56 bits that W3C trace context level 2 wants random, on the right
SAMPLED_FLAG = 1


@dataclass(frozen=True, slots=True)
class TraceColumns:
    """keys: uint64, from the random part of the trace id, 0 where there is none. sampled: bool, the caller records its part."""

    keys: Column
    sampled: Column


def find_traces(heads: Column, captured: Column) -> TraceColumns:
    """heads: uint8 (n, width), beginnings of HTTP/1 requests; captured: how many bytes of each are there."""
    count, width = heads.shape
    traces = TraceColumns(np.zeros(count, np.uint64), np.zeros(count, np.bool_))
    raw = heads.tobytes()
    at = raw.find(HEADER)
    while at >= 0:
        row, begin = divmod(at, width)
        if begin > 1 and raw[at - 2] == 10:
            end = row * width + int(captured[row])
            _note(traces, row, VALUE.match(raw, at + len(HEADER), max(end, at)))
        at = raw.find(HEADER, at + 1)
    return traces


def read_trace(head: bytes) -> tuple[int, bool]:
    """(key, sampled) of one head, by the last such header as above."""
    traces = find_traces(np.frombuffer(head, np.uint8).reshape(1, -1), np.array([len(head)])) if HEADER in head else None
    return (int(traces.keys[0]), bool(traces.sampled[0])) if traces is not None else (0, False)


def traces_of(trace_parents: Iterable[str]) -> TraceColumns:
    """The same of traceparent values that a parser found, '' none."""
    found = [VALUE.match(value.encode("ascii", "replace")) for value in trace_parents]
    traces = TraceColumns(np.zeros(len(found), np.uint64), np.zeros(len(found), np.bool_))
    for row, match in enumerate(found):
        _note(traces, row, match)
    return traces


def _note(traces: TraceColumns, row: int, match: re.Match[bytes] | None) -> None:
    if match is None:
        return
    random = int(match[2][-RANDOM_DIGITS:], 16)
    traces.keys[row] = (random << 8) | 0xFF  # never 0, and the same order
    traces.sampled[row] = bool(int(match[3], 16) & SAMPLED_FLAG)
