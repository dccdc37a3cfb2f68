"""HTTP/1 exchanges a batch at a time: each distinct request line is parsed once, statuses are read as columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.batch import Column, Rows
from collector.decode.protocols.http1_head import read_request_head, read_response_head
from collector.decode.request import Outcome
from collector.decode.request_record import OUTCOME_NUMBERS, PROTOCOL_NUMBERS, RequestTexts
from collector.row_groups import group_keys
from collector.row_hash import MULTIPLIER, SHIFT, hash_rows

LINES_MAX = 32_768
ZERO = 48
# Eight bytes at a time, little-endian as both supported machines are.
RETURNS, ONES, HIGH_BITS = np.uint64(0x0D0D0D0D0D0D0D0D), np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
ALL_BITS, SEVEN_BYTES = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x00FFFFFFFFFFFFFF)
HTTP_1 = np.uint64(int.from_bytes(b"HTTP/1.", "little"))
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
        status = read_statuses(source)
        rows["status"] = numbers = self._number_statuses(status)
        outcome = np.where(status == 0, OUTCOME_NUMBERS[Outcome.UNKNOWN], OUTCOME_NUMBERS[Outcome.OK])
        outcome[status >= 500] = OUTCOME_NUMBERS[Outcome.ERROR]
        outcome[source["response_started_at"] == 0] = OUTCOME_NUMBERS[Outcome.UNANSWERED]
        rows["outcome"] = outcome
        least_error = np.where(source["role"] == 1, 400, 500)  # OpenTelemetry: 4xx are errors of the client's side only
        rows["error_type"] = np.where(status >= least_error, numbers, 0)

    def _fill_lines(self, source: Rows, rows: Rows) -> None:
        heads = source["request"]
        keys, ends = hash_lines(heads, source["request_captured"])
        first, inverse = group_keys(keys)
        lines = [self._line(int(keys[row]), heads[row], int(ends[row])) for row in first.tolist()]
        table = np.array(lines, np.uint32).reshape(len(lines), len(NO_LINE))
        rows["operation"] = table[:, 0][inverse]
        rows["resource"] = table[:, 1][inverse]
        unknown = table[:, 2] == 0
        if unknown.any():
            self.unreadable += int(np.count_nonzero(unknown[inverse]))

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

    def _number_statuses(self, status: Column) -> Column:
        numbers: Column = self._status_numbers[status]
        unknown = (numbers == 0) & (status != 0)
        if unknown.any():
            for value in np.unique(status[unknown]).tolist():
                self._status_numbers[value] = self._texts.statuses.number(str(value))
            numbers = self._status_numbers[status]
        return numbers


def hash_lines(heads: Column, captured: Column) -> tuple[Column, Column]:
    """(uint64 key, where it ends) of the first line of each head, uint8 (n, width): at its carriage return, or where the
    capture ends. Looks at eight bytes at a time and no further than lines go.
    """
    words = view_words(heads, heads.shape[1] // 8)
    keys, ends = np.zeros(len(heads), np.uint64), np.full(len(heads), heads.shape[1])
    rows = np.arange(len(heads))  # whose line goes on
    for place in range(words.shape[1]):
        whole = len(rows) == len(heads)
        word = words[:, place] if whole else words[rows, place]
        below = bits_before_return(word)
        mixed = mix(keys if whole else keys[rows], word & below)
        keys[rows] = mixed
        found = below != ALL_BITS
        if found.any():
            ends[rows[found]] = 8 * place + np.bitwise_count(below[found]) // 8
            rows = rows[~found]
            if not len(rows):
                break
    cut = np.flatnonzero(ends > captured)
    if len(cut):  # what lies behind the capture is of an earlier request
        ends[cut] = captured[cut]
        keys[cut] = hash_rows([np.where(np.arange(heads.shape[1]) < ends[cut, None], heads[cut], np.uint8(0))], seed=1)
    return keys, ends


def view_words(heads: Column, count: int) -> Column:
    """The first `count` words of eight bytes of each head, uint64 (n, count), without a copy."""
    return np.lib.stride_tricks.as_strided(heads, (len(heads), count, 8), (heads.strides[0], 8, 1)).view("<u8")[..., 0]


def bits_before_return(words: Column) -> Column:
    """Ones for all bytes before the first carriage return, all ones where there is none.

    The lowest bit set by the test for a zero byte is that of the first one ("Hacker's Delight", 6-1).
    """
    differs = words ^ RETURNS
    returns = (differs - ONES) & ~differs & HIGH_BITS
    lowest: Column = returns & (~returns + np.uint64(1))
    return (lowest >> np.uint64(7)) - np.uint64(1)


def mix(keys: Column, words: Column) -> Column:
    """keys with one more word each; order counts."""
    mixed: Column = (keys ^ words) * MULTIPLIER
    mixed ^= mixed >> SHIFT
    return mixed


def read_statuses(source: Rows) -> Column:
    """Three-digit final status of each row, int64 (n,), 0 where there is none to be read."""
    heads = source["response"]
    words = view_words(heads, 2)
    begin, rest = words[:, 0] & SEVEN_BYTES, words[:, 1]
    status = np.zeros(len(heads), np.int64)
    readable = (begin == HTTP_1) & (source["response_captured"] >= STATUS_AT + 3)
    for position in range(STATUS_AT - 8, STATUS_AT - 5):
        digit = ((rest >> np.uint64(8 * position)) & np.uint64(0xFF)).astype(np.int64) - ZERO
        readable &= (digit >= 0) & (digit <= 9)
        status = status * 10 + digit
    status[~readable | (status < 100) | (status >= LONGEST_STATUS)] = 0
    interim = (status > 0) & (status < 200)
    for row in np.flatnonzero(interim).tolist() if interim.any() else ():
        status[row] = status_after_interim(heads[row, : source["response_captured"][row]].tobytes())
    return status


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
