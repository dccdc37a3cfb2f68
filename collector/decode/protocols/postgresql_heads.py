"""What first bytes tell: whether they are PostgreSQL's protocol, which request, which answer."""

from __future__ import annotations

from collector.decode.protocols import postgresql_messages as wire
from collector.decode.protocols.heads import RequestHead, ResponseHead
from collector.decode.protocols.postgresql_ledger import SYSTEM
from collector.decode.protocols.sql import Dialect, Statement, find_reader
from collector.decode.protocols.sql_outline import OTHER
from collector.decode.request import Evidence, Outcome, Side

CODES = frozenset((wire.CANCEL, wire.TLS, wire.GSSAPI))
ASKING = frozenset((wire.QUERY, wire.PARSE, wire.BIND, wire.EXECUTE, wire.FUNCTION_CALL))
DONE = frozenset((wire.COMMAND_COMPLETE, wire.EMPTY_QUERY, wire.PORTAL_SUSPENDED))


def recognise(side: Side, data: bytes) -> Evidence:
    """Whether these first bytes of one side are PostgreSQL's protocol, from its beginning or from some message on."""
    if side == Side.CLIENT and data[:1] == b"\0":
        return _recognise_start(data)
    if side == Side.SERVER and data in (b"S", b"N", b"G"):
        return Evidence.MAYBE
    chain = wire.follow_chain(side, data)
    if chain is not Evidence.YES:
        return chain
    return _recognise_messages(side, data)


def _recognise_start(data: bytes) -> Evidence:
    if len(data) < 8:
        return Evidence.MAYBE if data[:2] == b"\0\0"[: len(data)] else Evidence.NO
    length, code = int.from_bytes(data[:4]), int.from_bytes(data[4:8])
    if code in CODES:
        return Evidence.YES if length in (8, 16) or code == wire.CANCEL else Evidence.NO
    if code >> 16 != wire.PROTOCOL_3 or not 8 < length <= wire.START_BYTES:
        return Evidence.NO
    parameters = data[8:length]
    if b"user\0" in parameters:
        return Evidence.YES
    return Evidence.MAYBE if len(data) < length else Evidence.NO


def _recognise_messages(side: Side, data: bytes) -> Evidence:
    """Bytes that can be cut into messages: are these what PostgreSQL says?"""
    kind = data[0]
    length = int.from_bytes(data[1:5])
    if side == Side.SERVER:
        if wire.READY_BYTES.search(data) or data[:9] == b"R\0\0\0\x08\0\0\0\0" or data[:5] in (b"1\0\0\0\4", b"2\0\0\0\4"):
            return Evidence.YES
        return Evidence.YES if kind == wire.ERROR and wire.read_state(data, 0, length + 1) else Evidence.MAYBE
    if kind in (wire.QUERY, wire.PARSE):
        operation = _read_statement(data).operation
        return Evidence.NO if operation == OTHER else Evidence.YES if operation else Evidence.MAYBE
    return (
        Evidence.YES if b"S\0\0\0\4" in data and kind in (wire.BIND, wire.EXECUTE, wire.CLOSE, wire.DESCRIBE) else Evidence.MAYBE
    )


def _read_statement(head: bytes) -> Statement:
    """The statement of the Query or Parse that `head` begins with."""
    end = 1 + int.from_bytes(head[1:5])
    start = wire.HEAD_BYTES
    if head[0] == wire.PARSE:
        _, start = wire.read_name(head, start, end)
    zero = head.find(b"\0", start, end) if start else 0
    return find_reader(Dialect.POSTGRESQL).read(head[start : zero if zero >= 0 else end], truncated=zero < 0)


def read_request_head(head: bytes) -> RequestHead | None:
    """The Query or the run of Parse, Bind and Execute in `head`; without Parse its operation is ''. None when it is neither."""
    if len(head) < wire.HEAD_BYTES or head[0] not in ASKING or wire.follow_chain(Side.CLIENT, head) is Evidence.NO:
        return None
    length = 1 + int.from_bytes(head[1:5])
    if head[0] not in (wire.QUERY, wire.PARSE):
        return RequestHead("", attributes=SYSTEM)
    statement = _read_statement(head)
    return RequestHead(
        statement.operation,
        statement.collection,
        length if head[0] == wire.QUERY else -1,
        trace_parent=statement.trace_parent,
        attributes={**SYSTEM, **statement.attributes},
    )


def read_response_head(head: bytes) -> ResponseHead | None:
    """The answer in `head`, unknown when it had not ended there; None when it is none."""
    if len(head) < wire.HEAD_BYTES or wire.follow_chain(Side.SERVER, head) is Evidence.NO:
        return None
    position = 0
    while position + wire.HEAD_BYTES <= len(head):
        kind, length = wire.HEAD.unpack_from(head, position)
        if kind == wire.ERROR:
            state = wire.read_state(head, position, length + 1)
            return ResponseHead(Outcome.ERROR, state, state or OTHER)
        if kind in DONE:
            return ResponseHead(Outcome.OK)
        position += length + 1
    return ResponseHead(Outcome.UNKNOWN)
