"""MySQL's and MariaDB's packets: framing, integers, and the packets that mean the same everywhere.

MySQL Internals, "Client/Server Protocol"; MariaDB, "Client/Server Protocol". Little-endian throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.decode.protocols.message_framing import Message, MessageFramer
from collector.decode.protocols.sql import STATEMENT_BYTES
from collector.decode.request import Side

HEAD_BYTES = 4  # three of length, one of sequence
FULL = 0xFFFFFF  # a packet of this length goes on in the next one
ANSWER_BYTES = 512  # what is read of one packet of the server
NAME_LENGTH = 64

OK, INFILE, EOF, ERROR = 0x00, 0xFB, 0xFE, 0xFF
EOF_LENGTH, OK_LENGTH = 5, 7  # an EOF packet, and the shortest OK packet: their lengths tell them apart
PROGRESS = 0xFFFF  # MariaDB: an error of this number is none, but says how far a statement is

MORE_RESULTS, CURSOR, NO_BACKSLASH_ESCAPES = 0x0008, 0x0040, 0x0200  # server status


class MysqlFramer(MessageFramer):
    """Where a packet ends: three bytes of length and one of sequence before it (MySQL protocol, "Packets")."""

    def __init__(self, side: Side) -> None:
        super().__init__(HEAD_BYTES, HEAD_BYTES + 1)
        self._wanted = HEAD_BYTES + (STATEMENT_BYTES + 64 if side == Side.CLIENT else ANSWER_BYTES)

    def _split(self, data: bytes, position: int, messages: list[Message], began_at: int, time_ns: int) -> int:
        size, last = len(data), len(data) - HEAD_BYTES
        while position <= last:
            total = HEAD_BYTES + int.from_bytes(data[position : position + 3], "little")
            if position + total > size:
                break
            messages.append((data, position, total, began_at))
            position += total
            began_at = time_ns
        return position

    def _measure(self, data: bytes, position: int) -> int:
        return HEAD_BYTES + int.from_bytes(data[position : position + 3], "little")

    def _limit(self, data: bytes, position: int) -> int:
        return self._wanted


@dataclass(frozen=True, slots=True)
class Failure:
    """An ERR packet: its number, and its SQLSTATE, '' when it has none (errors before the login)."""

    number: int
    state: str


def read_number(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The length-encoded integer at `start`, and the position behind it; -1 and `end` when there is none."""
    first = data[start] if start < min(end, len(data)) else ERROR
    if first < INFILE:
        return first, start + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not width or start + 1 + width > min(end, len(data)):
        return -1, end
    return int.from_bytes(data[start + 1 : start + 1 + width], "little"), start + 1 + width


def read_status(payload: bytes) -> int:
    """The server's status in the OK or EOF packet of these bytes; 0 when it is cut."""
    start = 3
    if len(payload) != EOF_LENGTH or payload[0] != EOF:
        _, start = read_number(payload, 1, len(payload))
        _, start = read_number(payload, start, len(payload))
    return int.from_bytes(payload[start : start + 2], "little")


def read_failure(payload: bytes) -> Failure:
    """The ERR packet of these bytes."""
    state = payload[4:9] if payload[3:4] == b"#" else b""
    return Failure(int.from_bytes(payload[1:3], "little"), state.decode() if state.isalnum() and state.isascii() else "")


def is_progress(payload: bytes) -> bool:
    return payload[1:3] == b"\xff\xff"


def read_name(name: bytes) -> str:
    """A database's name as it may be shown, '' when it is none."""
    text = name.decode("utf-8", "replace")
    return text if text.isprintable() and len(text) <= NAME_LENGTH else ""
