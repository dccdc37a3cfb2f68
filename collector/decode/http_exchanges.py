"""HTTP/1 exchanges a batch at a time: each distinct request line is parsed once, statuses are read as columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.batch import Column, Rows
from collector.decode.protocols.http1_head import read_request_head, read_response_head
from collector.decode.request import Outcome
from collector.decode.request_record import OUTCOME_NUMBERS, PROTOCOL_NUMBERS, RequestTexts
from collector.row_hash import hash_rows

LINES_MAX = 32_768
CARRIAGE_RETURN, ZERO, NINE = 13, 48, 57
HTTP_1 = np.frombuffer(b"HTTP/1.", np.uint8)
STATUS_AT = 9  # "HTTP/1.1 200"
LONGEST_STATUS = 600


class RequestLine(NamedTuple):
    """Numbers of texts; known: it was a request line at all."""

    operation: int
    resource: int
    known: bool


NO_LINE = RequestLine(0, 0, False)


class HttpExchanges:
    """Keeps what it learned about request lines, bounded: when full it starts anew."""

    def __init__(self, texts: RequestTexts) -> None:
        self._texts = texts
        self._lines: dict[int, RequestLine] = {}
        self._status_numbers = np.zeros(LONGEST_STATUS, np.uint32)
        self.unreadable = 0

    def fill(self, source: Rows, rows: Rows) -> None:
        """Protocol, operation, resource, status, outcome and error_type of `rows` out of the exchanges `source`."""
        rows["protocol"] = PROTOCOL_NUMBERS["http"]
        self._fill_lines(source, rows)
        status = self._statuses(source)
        rows["status"] = self._number_statuses(status)
        answered = source["response_started_at"] != 0
        rows["outcome"] = np.select(
            [~answered, status == 0, status >= 500],
            [OUTCOME_NUMBERS[Outcome.UNANSWERED], OUTCOME_NUMBERS[Outcome.UNKNOWN], OUTCOME_NUMBERS[Outcome.ERROR]],
            OUTCOME_NUMBERS[Outcome.OK],
        )
        least_error = np.where(source["role"] == 1, 400, 500)  # OpenTelemetry: 4xx are errors of the client's side only
        rows["error_type"] = np.where(status >= least_error, rows["status"], 0)

    def _fill_lines(self, source: Rows, rows: Rows) -> None:
        heads = source["request"]
        ends = line_ends(heads, source["request_captured"])
        kept = np.where(np.arange(heads.shape[1]) < ends[:, None], heads, np.uint8(0))
        keys, first, inverse = np.unique(hash_rows([kept]), return_index=True, return_inverse=True)
        lines = [self._line(int(key), heads[row], int(ends[row])) for key, row in zip(keys, first, strict=True)]
        rows["operation"] = np.array([line.operation for line in lines], np.uint32)[inverse]
        rows["resource"] = np.array([line.resource for line in lines], np.uint32)[inverse]
        self.unreadable += int(np.count_nonzero(~np.array([line.known for line in lines])[inverse]))

    def _line(self, key: int, head: Column, end: int) -> RequestLine:
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

    def _statuses(self, source: Rows) -> Column:
        """Three-digit final status of each row, 0 where there is none to be read."""
        heads = source["response"]
        digits = heads[:, STATUS_AT : STATUS_AT + 3].astype(np.int64) - ZERO
        readable = (heads[:, : len(HTTP_1)] == HTTP_1).all(axis=1) & ((digits >= 0) & (digits <= NINE - ZERO)).all(axis=1)
        readable &= source["response_captured"] >= STATUS_AT + 3
        status: Column = np.where(readable, digits @ np.array([100, 10, 1]), 0)
        status[(status < 100) | (status >= LONGEST_STATUS)] = 0
        for row in np.flatnonzero((status > 0) & (status < 200)):
            status[row] = status_after_interim(heads[row, : source["response_captured"][row]].tobytes())
        return status

    def _number_statuses(self, status: Column) -> Column:
        for value in np.unique(status[self._status_numbers[status] == 0]):
            if value:
                self._status_numbers[value] = self._texts.statuses.number(str(value))
        numbers: Column = self._status_numbers[status]
        return numbers


def line_ends(heads: Column, captured: Column) -> Column:
    """Where the first line of each head ends: at its carriage return, or where the capture does."""
    is_end = heads == CARRIAGE_RETURN
    found = is_end.any(axis=1)
    ends: Column = np.where(found, is_end.argmax(axis=1), heads.shape[1])
    return np.minimum(ends, captured)


def status_after_interim(head: bytes) -> int:
    """The final status behind 1xx answers (RFC 9110, 15.2), or 101 itself; 0 when the capture ends before it."""
    while (answer := read_response_head(head)) is not None:
        if answer.status == 101 or answer.status >= 200:
            return answer.status
        if not answer.size:
            return 0
        head = head[answer.size :]
    return 0


def many_requests_in(head: bytes) -> bool:
    """Whether more than one whole request is in these bytes: the client pipelines."""
    first = read_request_head(head)
    if first is None or first.size == 0 or first.body < 0:
        return False
    rest = head[first.size + first.body :]
    return bool(rest) and read_request_head(rest) is not None
