"""MySQL's commands: their names, how each is answered, and the attributes that may be before a query's text."""

from __future__ import annotations

import enum
import re

from collector.decode.protocols.mysql_packets import read_number

QUIT, INIT_DB, QUERY, FIELD_LIST, STATISTICS, CHANGE_USER = 0x01, 0x02, 0x03, 0x04, 0x09, 0x11
STMT_PREPARE, STMT_EXECUTE, STMT_LONG_DATA, STMT_CLOSE, STMT_RESET, STMT_FETCH = 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1C
RESET_CONNECTION, STMT_BULK_EXECUTE = 0x1F, 0xFA
LAST_PREPARED = 0xFFFFFFFF  # MariaDB: the statement prepared last, whose number the client does not know yet


class Shape(enum.Enum):
    """What the server answers. NONE: nothing. STREAM: events without end. STATUS: one OK, EOF or ERR packet. TEXT: one packet.

    RESULTS: OK, ERR, a request for a file, or rows, and perhaps more of these. ROWS: rows without their columns.
    COLUMNS: descriptions of columns. PREPARED: a number and descriptions. LOGIN: as many packets as the method takes.
    """

    NONE = 0
    STREAM = 1
    STATUS = 2
    TEXT = 3
    RESULTS = 4
    ROWS = 5
    COLUMNS = 6
    PREPARED = 7
    LOGIN = 8


COMMANDS = {
    QUIT: ("QUIT", Shape.NONE),
    INIT_DB: ("INIT_DB", Shape.STATUS),
    QUERY: ("", Shape.RESULTS),
    FIELD_LIST: ("FIELD_LIST", Shape.COLUMNS),
    0x05: ("CREATE_DB", Shape.STATUS),
    0x06: ("DROP_DB", Shape.STATUS),
    0x07: ("REFRESH", Shape.STATUS),
    0x08: ("SHUTDOWN", Shape.STATUS),
    STATISTICS: ("STATISTICS", Shape.TEXT),
    0x0A: ("PROCESS_INFO", Shape.RESULTS),
    0x0C: ("PROCESS_KILL", Shape.STATUS),
    0x0D: ("DEBUG", Shape.STATUS),
    0x0E: ("PING", Shape.STATUS),
    CHANGE_USER: ("CHANGE_USER", Shape.LOGIN),
    0x12: ("BINLOG_DUMP", Shape.STREAM),
    0x13: ("TABLE_DUMP", Shape.STREAM),
    0x15: ("REGISTER_SLAVE", Shape.STATUS),
    STMT_PREPARE: ("PREPARE", Shape.PREPARED),
    STMT_EXECUTE: ("", Shape.RESULTS),
    STMT_LONG_DATA: ("STMT_LONG_DATA", Shape.NONE),
    STMT_CLOSE: ("STMT_CLOSE", Shape.NONE),
    STMT_RESET: ("STMT_RESET", Shape.STATUS),
    0x1B: ("SET_OPTION", Shape.STATUS),
    STMT_FETCH: ("FETCH", Shape.ROWS),
    0x1E: ("BINLOG_DUMP_GTID", Shape.STREAM),
    RESET_CONNECTION: ("RESET_CONNECTION", Shape.STATUS),
    0x20: ("CLONE", Shape.STREAM),
    STMT_BULK_EXECUTE: ("", Shape.RESULTS),
}
# Bytes of a whole command without its head, where that is fixed; -1 any.
LENGTHS = {
    QUIT: 1,
    STATISTICS: 1,
    0x0E: 1,
    0x0D: 1,
    RESET_CONNECTION: 1,
    STMT_CLOSE: 5,
    STMT_RESET: 5,
    STMT_FETCH: 9,
    0x1B: 3,
    0x0C: 5,
}

# Query attributes, MySQL WL#12542: binary type -> bytes of a value; 0 a length is before it, -1 one byte of length is.
VALUE_BYTES = {
    **dict.fromkeys((0x01,), 1),
    **dict.fromkeys((0x02, 0x0D), 2),
    **dict.fromkeys((0x03, 0x04, 0x09), 4),
    **dict.fromkeys((0x05, 0x08), 8),
    **dict.fromkeys((0x07, 0x0A, 0x0B, 0x0C), -1),
    **dict.fromkeys((0x00, 0x0F, 0x10, 0xF5, 0xF6, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE), 0),
}
ATTRIBUTES_MAX = 64
TRACE_PARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def find_query(data: bytes, start: int, end: int) -> tuple[int, str]:
    """Where the text of a COM_QUERY begins whose payload is from `start` to `end`; -1 unknown. And the traceparent attribute.

    With query attributes the text follows them; no text has the number of their sets, 1, as its second byte.
    """
    if data[start + 2 : start + 3] != b"\x01":
        return start + 1, ""
    count = data[start + 1]
    if count == 0:
        return start + 3, ""
    if count > ATTRIBUTES_MAX:
        return -1, ""
    nulls = start + 3
    position = nulls + (count + 7) // 8 + 1
    types: list[tuple[int, bytes]] = []
    for _ in range(count):
        size, name = read_number(data, position + 2, end)
        if size < 0 or name + size > min(end, len(data)):
            return -1, ""
        types.append((data[position], data[name : name + size]))
        position = name + size
    return _pass_values(data, nulls, position, end, types)


def _pass_values(data: bytes, nulls: int, position: int, end: int, types: list[tuple[int, bytes]]) -> tuple[int, str]:
    trace_parent = ""
    for index, (kind, name) in enumerate(types):
        if data[nulls + index // 8] >> index % 8 & 1 or kind == 0x06:
            continue
        size = VALUE_BYTES.get(kind, -2)
        if size == 0:
            size, position = read_number(data, position, end)
        elif size == -1:
            size, position = data[position : position + 1][0] if position < len(data) else -1, position + 1
        if size < 0 or position + size > min(end, len(data)):
            return -1, trace_parent
        if name == b"traceparent" and TRACE_PARENT.fullmatch(data, position, position + size):
            trace_parent = data[position : position + size].decode()
        position += size
    return position, trace_parent
