"""What the heads of HTTP/1 requests say, as columns: by heads that were seen before, else line by line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.batch import Column
from collector.decode.http_bodies import find_bodies, find_body
from collector.decode.http_lines import hash_lines
from collector.decode.known_heads import KnownHeads
from collector.decode.protocols.http1_head import read_request_head
from collector.decode.request_record import RequestTexts
from collector.decode.trace_columns import TraceColumns, find_traces, read_trace
from collector.row_groups import group_keys

LINES_MAX = 32_768


class RequestColumns(NamedTuple):
    """Of shape (n,). operation, resource: numbers of texts. known: it was a request line at all. body_at: where the body
    begins, 0 where that was not captured."""

    operation: Column
    resource: Column
    known: Column
    body_at: Column
    traces: TraceColumns


class RequestLine(NamedTuple):
    """One row's part of the same."""

    operation: int
    resource: int
    known: bool


NO_LINE = RequestLine(0, 0, False)


class RequestHeads:
    """Keeps what it learned about lines and heads, bounded: when full it starts anew."""

    def __init__(self, texts: RequestTexts) -> None:
        self._texts = texts
        self._lines: dict[int, RequestLine] = {}
        self._heads = KnownHeads(self._read_head)

    def read(self, heads: Column, captured: Column) -> RequestColumns:
        """heads: uint8 (n, width), of which `captured` bytes are there."""
        found = self._heads.find(heads, captured)
        if found is None:
            return self._read_lines(heads, captured)
        operation, resource, known, body_at, keys, sampled = found
        return RequestColumns(operation, resource, known != 0, body_at.astype(np.int64), TraceColumns(keys, sampled != 0))

    def _read_head(self, head: bytes) -> tuple[int, ...]:
        return (*self._read_line(head.partition(b"\r")[0]), find_body(head), *read_trace(head))

    def _read_lines(self, heads: Column, captured: Column) -> RequestColumns:
        keys, ends = hash_lines(heads, captured)
        first, inverse = group_keys(keys)
        lines = [self._find_line(int(keys[row]), heads[row], int(ends[row])) for row in first.tolist()]
        operation, resource, known = np.array(lines, np.uint32).reshape(len(lines), len(NO_LINE)).T[:, inverse]
        return RequestColumns(operation, resource, known != 0, find_bodies(heads, captured), find_traces(heads, captured))

    def _find_line(self, key: int, head: Column, end: int) -> RequestLine:
        known = self._lines.get(key)
        if known is None:
            known = self._read_line(head[:end].tobytes())
            if len(self._lines) >= LINES_MAX:
                self._lines.clear()
            self._lines[key] = known
        return known

    def _read_line(self, line: bytes) -> RequestLine:
        """Only the line is kept of the head; its query ends here."""
        head = read_request_head(line + b"\r\n\r\n") or read_request_head(line)
        if head is None:
            return NO_LINE
        path = "" if head.path_is_cut else head.path
        return RequestLine(self._texts.operations.number(head.method), self._texts.resources.number(path), True)
