"""What first bytes tell: whether they are MySQL's protocol, which command, which answer."""

from __future__ import annotations

from collector.decode.protocols import mysql_commands as commands
from collector.decode.protocols.heads import RequestHead, ResponseHead
from collector.decode.protocols.mysql_commands import COMMANDS, LENGTHS, Shape
from collector.decode.protocols.mysql_handshake import GREETING_VERSION, read_greeting, read_response
from collector.decode.protocols.mysql_packets import EOF, ERROR, HEAD_BYTES, INFILE, OK, read_failure, read_number, read_status
from collector.decode.protocols.sql import STATEMENT_BYTES, Dialect, Statement, find_reader
from collector.decode.protocols.sql_outline import OTHER
from collector.decode.request import Evidence, Outcome, Side
from collector.instruments import AttributeValue

SYSTEM: dict[str, AttributeValue] = {"db.system.name": "mysql"}
TEXTS = frozenset((commands.QUERY, commands.STMT_PREPARE))
DEFINITION = b"\x03def"  # each description of a column begins with its catalog, which is always def
LARGEST_STATUS = 0x8000
ENOUGH_OF_LOGIN = 96  # fixed fields with 23 zeros among them, and a name


def recognise(side: Side, data: bytes) -> Evidence:
    """Whether these first bytes of one side are MySQL's protocol, from the greeting or from some command on."""
    if side == Side.SERVER:
        return _recognise_server(data)
    if data[3:4] == b"\x01":
        missing = HEAD_BYTES + int.from_bytes(data[:3], "little") - len(data)
        if missing >= 0 and len(data) >= ENOUGH_OF_LOGIN:  # its last part, attributes of the program, may be cut off
            return Evidence.YES if read_response(data[HEAD_BYTES:]) else Evidence.NO
        return (
            Evidence.YES if missing == 0 and read_response(data[HEAD_BYTES:]) else Evidence.MAYBE if missing > 0 else Evidence.NO
        )
    return recognise_command(data)


def recognise_command(data: bytes) -> Evidence:
    """Whether `data` begins with a command."""
    if len(data) <= HEAD_BYTES:
        return Evidence.MAYBE if data[3:4] in (b"", b"\0") and data != bytes(len(data)) else Evidence.NO
    length, command = int.from_bytes(data[:3], "little"), data[HEAD_BYTES]
    if data[3] != 0 or command not in COMMANDS or length != LENGTHS.get(command, length) or length < 1:
        return Evidence.NO
    if command in TEXTS:
        statement = _read_statement(data, length)
        return Evidence.YES if statement.operation not in ("", OTHER) else _judge_begun(data)
    if command == commands.STMT_EXECUTE:
        return Evidence.YES if data[10:14] == b"\1\0\0\0" and length >= 10 else Evidence.NO if len(data) >= 14 else Evidence.MAYBE
    return Evidence.YES if command in LENGTHS and len(data) == HEAD_BYTES + length else Evidence.MAYBE


def _judge_begun(data: bytes) -> Evidence:
    """A text without a known keyword may become one when it has only begun."""
    text = data[HEAD_BYTES + 1 :]
    return (
        Evidence.MAYBE
        if (len(text) < 16 and text.isascii() and text.replace(b"/*", b"").strip().isalpha()) or not text
        else Evidence.NO
    )


def _read_statement(data: bytes, length: int) -> Statement:
    start, end = HEAD_BYTES, HEAD_BYTES + length
    text = commands.find_query(data, start, end)[0] if data[start] == commands.QUERY else start + 1
    last = min(end, start + STATEMENT_BYTES)
    return find_reader(Dialect.MYSQL).read(data[text:last] if text >= 0 else b"", truncated=len(data) < end or last < end)


def _recognise_server(data: bytes) -> Evidence:
    length = int.from_bytes(data[:3], "little")
    whole = len(data) >= HEAD_BYTES + length
    if len(data) <= HEAD_BYTES:
        return Evidence.MAYBE if data[3:4] in (b"", b"\0", b"\1") else Evidence.NO
    payload = data[HEAD_BYTES : HEAD_BYTES + length]
    if data[3] == 0:
        if payload[:1] == bytes((GREETING_VERSION,)):
            return Evidence.YES if read_greeting(payload) else Evidence.NO if whole else Evidence.MAYBE
        return Evidence.MAYBE if payload[:1] == bytes((ERROR,)) and 3 < length < 1024 else Evidence.NO
    return Evidence.YES if data[3] == 1 and whole and _is_answer(data, payload) else Evidence.NO


def _is_answer(data: bytes, payload: bytes) -> bool:
    """Whether a packet of sequence 1 and what follows it is an answer that nothing else looks like."""
    if payload[:1] == bytes((ERROR,)):
        return payload[3:4] == b"#" and read_failure(payload).state != ""
    if payload[:1] == bytes((OK,)):
        return len(payload) >= 7 and len(data) == HEAD_BYTES + len(payload) and 0 < read_status(payload) < LARGEST_STATUS
    second = data[HEAD_BYTES + len(payload) :]
    return len(payload) <= 2 and second[3:4] == b"\2" and second[HEAD_BYTES : HEAD_BYTES + 4] == DEFINITION


def read_request_head(head: bytes) -> RequestHead | None:
    """The command in `head`; operation '' when a prepared statement is executed. None when it is no command."""
    if len(head) <= HEAD_BYTES or recognise_command(head) is Evidence.NO:
        return None
    length, command = int.from_bytes(head[:3], "little"), head[HEAD_BYTES]
    name, shape = COMMANDS[command]
    size, answered = HEAD_BYTES + length, shape is not Shape.NONE
    if command not in TEXTS:
        return RequestHead(name, length=size, answered=answered, attributes=SYSTEM)
    statement = _read_statement(head, length)
    attributes = SYSTEM if name else {**SYSTEM, **statement.attributes}
    return RequestHead(name or statement.operation, statement.collection, size, answered, statement.trace_parent, attributes)


def read_response_head(head: bytes) -> ResponseHead | None:
    """The answer in `head`, unknown when rows had begun; None when it cannot be an answer."""
    if len(head) <= HEAD_BYTES or head[3] == 0:
        return None
    payload = head[HEAD_BYTES:]
    if payload[0] == ERROR:
        number = str(read_failure(payload).number)
        return ResponseHead(Outcome.ERROR, number, number)
    if payload[0] in (OK, EOF):
        return ResponseHead(Outcome.OK)
    columns, _ = read_number(payload, 0, len(payload))
    return ResponseHead(Outcome.UNKNOWN) if columns > 0 or payload[0] == INFILE else None
