"""PostgreSQL's protocol 3 message by message (PostgreSQL 17, chapter 54 "Frontend/Backend Protocol")."""

from __future__ import annotations

import re
import struct

from collector.decode.protocols.message_framing import Message, MessageFramer
from collector.decode.protocols.sql import STATEMENT_BYTES
from collector.decode.request import Evidence, Side

HEAD = struct.Struct(">BI")
HEAD_BYTES = HEAD.size
read_head = HEAD.unpack_from
NAME_BYTES = 64  # of statements and portals; PostgreSQL itself cuts names at 63
START_BYTES = 10_000  # MAX_STARTUP_PACKET_LENGTH
PROTOCOL_3, CANCEL, TLS, GSSAPI = 3, 80877102, 80877103, 80877104
LARGE, SMALL = 1 << 30, 30_000  # what the server allows; of the small kinds more than it, to notice bytes that are none

QUERY, PARSE, BIND, EXECUTE, DESCRIBE, CLOSE, SYNC, FUNCTION_CALL = b"QPBEDCSF"
COPY_DATA, COPY_DONE, COPY_FAIL = b"dcf"
DATA_ROW, COMMAND_COMPLETE, EMPTY_QUERY, ERROR, PORTAL_SUSPENDED, READY, COPY_BOTH = b"DCIEsZW"
PARSE_COMPLETE, PARAMETER_STATUS, NOTICE, NOTIFICATION = b"1SNA"

# Kind of message -> largest length.
CLIENT_KINDS = {
    **dict.fromkeys(b"QPBFdp", LARGE),
    **dict.fromkeys(b"EDCf", SMALL),
    **dict.fromkeys(b"SHXc", 4),
}
SERVER_KINDS = {
    **dict.fromkeys(b"DTVdENA", LARGE),
    **dict.fromkeys(b"RKCStGHWv", SMALL),
    **dict.fromkeys(b"123InsZc", 5),
}
KINDS = [[sizes.get(kind, 0) for kind in range(256)] for sizes in (CLIENT_KINDS, SERVER_KINDS)]
# What is read of a message that comes in pieces, beyond its head.
WANTED = {
    QUERY: STATEMENT_BYTES + 1,
    PARSE: 4 * NAME_BYTES + STATEMENT_BYTES,
    BIND: 8 * NAME_BYTES,
    EXECUTE: 4 * NAME_BYTES,
    CLOSE: 4 * NAME_BYTES,
}
SERVER_WANTED = {COMMAND_COMPLETE: 64, ERROR: 256}
STATE = re.compile(rb"\0C([0-9A-Z]{5})\0")
# The last messages of a group, certain enough to find them in bytes whose beginning was lost.
READY_BYTES = re.compile(rb"Z\0\0\0\x05[ITE]")
COMPLETE_BYTES = re.compile(rb"C\0\0\0[\x08-\x40][A-Z][A-Z 0-9]*\0\Z")
FAILED_BYTES = re.compile(
    rb"E\0\0..S[^\0]{4,24}\0V(?:ERROR|FATAL|PANIC)\0C[0-9A-Z]{5}\0M[^\0]*\0(?:[A-Za-z][^\0]*\0)*\0\Z", re.DOTALL
)


class PostgresqlFramer(MessageFramer):
    """starting: the client's next message is one of those without a kind, which come before the first other one."""

    def __init__(self, side: Side) -> None:
        super().__init__(HEAD_BYTES, HEAD_BYTES)
        self.starting = False
        self._largest = KINDS[side]
        self._wanted = WANTED if side == Side.CLIENT else SERVER_WANTED

    def _split(self, data: bytes, position: int, messages: list[Message], began_at: int, time_ns: int) -> int:
        largest, size, last = self._largest, len(data), len(data) - HEAD_BYTES
        while self.starting and position <= last:
            total = self._measure_start(data, position)
            if not total or position + total > size:
                return position if total else -1
            messages.append((data, position, total, began_at))
            position, began_at = position + total, time_ns
        while position <= last:
            kind, length = read_head(data, position)
            if not 4 <= length <= largest[kind]:
                return -1
            end = position + length + 1
            if end > size:
                break
            messages.append((data, position, length + 1, began_at))
            position, began_at = end, time_ns
        return position

    def _measure(self, data: bytes, position: int) -> int:
        if data[position] == 0:
            return int.from_bytes(data[position : position + 4])
        return 1 + int.from_bytes(data[position + 1 : position + 5])

    def _measure_start(self, data: bytes, position: int) -> int:
        length = int.from_bytes(data[position : position + 4])
        self.starting = data[position + 4] != 0  # a request for encryption, or to cancel
        return length if 8 <= length <= START_BYTES and data[position + 4] in (0, 4) else 0

    def _limit(self, data: bytes, position: int) -> int:
        if data[position] == 0:
            return START_BYTES
        return HEAD_BYTES + self._wanted.get(data[position], 0)


def follow_chain(side: Side, data: bytes) -> Evidence:
    """Whether `data` begins with messages of that side: YES when one is whole and another one, or the end, follows it."""
    position, size = 0, len(data)
    largest = KINDS[side]
    while position + HEAD_BYTES <= size:
        kind, length = HEAD.unpack_from(data, position)
        if not 4 <= length <= largest[kind]:
            return Evidence.NO
        position += length + 1
    if position < size and not largest[data[position]]:
        return Evidence.NO
    whole = 0 < position <= size
    return Evidence.YES if whole else Evidence.MAYBE


def read_name(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    """The zero-ended name at `start`, cut like PostgreSQL cuts it, and the position behind it; that is 0 when it has no end."""
    zero = data.find(b"\0", start, end)
    return data[start : min(zero, start + NAME_BYTES - 1)] if zero >= 0 else b"", zero + 1


def read_tag(data: bytes, start: int, size: int) -> bytes:
    """What a CommandComplete says was done: SELECT 5, INSERT 0 1, CREATE TABLE, ..."""
    return data[start + HEAD_BYTES : start + min(size, HEAD_BYTES + 64)]


def read_state(data: bytes, start: int, size: int) -> str:
    """The SQLSTATE of an ErrorResponse, '' when it is not among its first fields."""
    found = STATE.search(data, start + HEAD_BYTES, start + min(size, HEAD_BYTES + 256))
    return found[1].decode() if found else ""


def read_start(data: bytes, start: int, size: int) -> dict[bytes, bytes]:
    """The parameters of a StartupMessage."""
    fields = data[start + 8 : start + size].split(b"\0")
    return dict(zip(fields[0::2], fields[1::2], strict=False))


def find_group_end(data: bytes) -> tuple[int, bytes]:
    """Where a ReadyForQuery ends, -1 for none, and the completion or error right before it, b'' when that is neither."""
    ready = READY_BYTES.search(data)
    if ready is None:
        return -1, b""
    before = data[: ready.start()]
    for kind, pattern in ((b"C\0\0", COMPLETE_BYTES), (b"E\0\0", FAILED_BYTES)):
        start = before.rfind(kind)
        found = pattern.match(before, start) if start >= 0 else None
        if found and start + 1 + HEAD.unpack_from(before, start)[1] == len(before):
            return ready.end(), before[start:]
    return ready.end(), b""
