"""The server's answer to one command, packet by packet."""

from __future__ import annotations

from collector.decode.protocols.mysql_commands import Shape
from collector.decode.protocols.mysql_packets import (
    CURSOR,
    EOF,
    EOF_LENGTH,
    ERROR,
    FULL,
    HEAD_BYTES,
    INFILE,
    MORE_RESULTS,
    OK,
    Failure,
    is_progress,
    read_failure,
    read_number,
    read_status,
)

NONE, STREAM, STATUS, TEXT, RESULTS, ROWS, COLUMNS, PREPARED, LOGIN = Shape
UNCERTAIN = 1 << 60
PREPARED_LENGTH = 12
PAYLOAD_BYTES = 64  # of which everything is read that is not a row


class Answer:
    """Each packet's first byte and length tell what it is, so that little depends on what the two sides agreed on.

    old_end: True: descriptions and rows end with EOF packets; False: rows with an OK packet, descriptions with nothing; None not
    known. rows: that came, below zero when that is not certain. statement_id: of what was prepared, -1 none. status: the
    server's, as it was told last. wants_file: the client's next packets are a file's content. failure: None for success.
    """

    __slots__ = (
        *("_before", "_descriptions", "_ends", "_in_result", "_shape", "failure", "has_rows", "old_end", "rows"),
        *("statement_id", "status", "wants_file"),
    )

    def __init__(self, shape: Shape, old_end: bool | None) -> None:
        self._shape = shape
        self._in_result = False
        self._ends = 0  # EOF packets of this result
        self._descriptions = 0  # of the columns of this result, or those of a statement that are still to come
        self._before = 0  # rows of earlier results
        self.old_end = old_end
        self.failure: Failure | None = None
        self.has_rows = shape is ROWS
        self.rows = 0
        self.statement_id = -1
        self.status = -1
        self.wants_file = False

    def take(self, data: bytes, start: int, size: int) -> bool:
        """One packet; whether it was the last."""
        length = size - HEAD_BYTES
        kind = data[start + HEAD_BYTES] if length else -1
        if self._in_result and (kind not in (EOF, ERROR) or length == FULL):
            self.rows += 1
            return False
        payload = data[start + HEAD_BYTES : start + min(size, HEAD_BYTES + PAYLOAD_BYTES)]
        if kind == ERROR:
            self.failure = None if is_progress(payload) else read_failure(payload)
            return self.failure is not None
        if self._in_result:
            return self._end_rows(payload, length)
        return self._take_first(kind, payload, length)

    def _take_first(self, kind: int, payload: bytes, length: int) -> bool:
        """A packet that is not in a list of rows."""
        shape = self._shape
        if shape is RESULTS:
            return self._begin_result(kind, payload, length)
        if shape in (STATUS, TEXT):
            if length >= EOF_LENGTH and shape is STATUS:
                self.status = read_status(payload)
            return True
        if shape is LOGIN:
            return kind == OK
        if shape is PREPARED:
            return self._take_prepared(kind, payload, length)
        if kind == EOF and length < FULL:
            self.status = read_status(payload)
            return True
        self.rows += shape is ROWS
        return False

    def _begin_result(self, kind: int, payload: bytes, length: int) -> bool:
        if kind == INFILE:
            self.wants_file = True
            return False
        if kind in (OK, EOF, -1):
            self.status = read_status(payload)
            return not self.status & MORE_RESULTS
        columns, end = read_number(payload, 0, len(payload))
        self._in_result = self.has_rows = True
        self._descriptions = columns if end == length and columns > 0 else UNCERTAIN
        self._before = self.rows
        self._ends = 0
        return False

    def _end_rows(self, payload: bytes, length: int) -> bool:
        """A packet that ends rows, or the descriptions of columns before them."""
        self.status = read_status(payload)
        if length == EOF_LENGTH and self._ends == 0 and self.old_end is not False:
            self._ends = 1
            self.rows = self._before
            if not self.status & CURSOR:
                return False
        elif self._ends == 0:
            self.rows -= self._descriptions
        self._in_result = False
        return not self.status & MORE_RESULTS

    def _take_prepared(self, kind: int, payload: bytes, length: int) -> bool:
        if self.statement_id < 0:
            if kind != OK or length < PREPARED_LENGTH:
                return True
            self.statement_id = int.from_bytes(payload[1:5], "little")
            columns, parameters = int.from_bytes(payload[5:7], "little"), int.from_bytes(payload[7:9], "little")
            without = payload[PREPARED_LENGTH : PREPARED_LENGTH + 1] == b"\0"  # OPTIONAL_RESULTSET_METADATA
            self._descriptions = 0 if without else columns + parameters
            self._ends = (columns > 0) + (parameters > 0) if self.old_end else 0
        elif kind == EOF and length == EOF_LENGTH:
            self._ends -= 1
        else:
            self._descriptions -= 1
        return self._descriptions <= 0 and self._ends <= 0
