"""What first bytes tell: whether they are Redis' protocol, which command, which answer."""

from __future__ import annotations

import re

from collector.decode.protocols.heads import RequestHead, ResponseHead
from collector.decode.protocols.redis_commands import COMMANDS, CONTAINERS, name_error, name_operation
from collector.decode.protocols.redis_mode import SYSTEM
from collector.decode.protocols.resp import ARRAY, BULK_ERROR, ERROR, PUSH, ValueReader, read_words
from collector.decode.request import Evidence, Outcome, Side

COMMAND = re.compile(rb"\*[1-9]\d{0,6}\r\n\$[1-9]\d?\r\n([A-Za-z][A-Za-z_.-]*)\r\n")
LINE = re.compile(rb"([A-Za-z][A-Za-z_.-]*)(?: [\x20-\x7e]*)?\r?\n")
# A command of which the end has not come yet.
COMMAND_BEGUN = re.compile(rb"\*(?:[1-9]\d{0,6}(?:\r(?:\n(?:\$(?:[1-9]\d?(?:\r(?:\n(?:[A-Za-z][A-Za-z_.-]*\r?)?)?)?)?)?)?)?)?\Z")
# POP3 says +OK and -ERR too, and NATS says PING; what only Redis says is certain.
ANSWER = re.compile(rb"[+-][^\r\n]*\r\n|[:*~>%|$=!]-?\d{1,12}\r\n|_\r\n|#[tf]\r\n|[,(][-+.\w]+\r\n")
ANSWER_BEGUN = re.compile(rb"[+-][ -~]{0,200}\r?\Z|[:*~>%|$=!](?:-?\d{0,12}\r?)?\Z|[_#,(][tf]?\r?\Z")
CERTAIN_ANSWER = re.compile(
    rb"\+PONG\r\n|\+QUEUED\r\n|-ERR unknown command |[*~>]\d{1,7}\r\n(?:\$-?\d{1,10}|:-?\d{1,19})\r\n|%\d{1,7}\r\n\$\d{1,10}\r\n"
    rb"|-(?:WRONGTYPE|NOAUTH|WRONGPASS|NOPERM|MOVED|ASK|LOADING|READONLY|NOSCRIPT|EXECABORT|CROSSSLOT|CLUSTERDOWN) "
)
STRING = re.compile(rb"\$(\d{1,9})\r\n")


def recognise(side: Side, data: bytes) -> Evidence:
    """Whether these first bytes of one side are Redis' protocol."""
    if side == Side.CLIENT:
        if begins_command(data):
            return Evidence.YES if data[0] == ARRAY else Evidence.MAYBE
        return Evidence.MAYBE if COMMAND_BEGUN.match(data) else Evidence.NO
    if CERTAIN_ANSWER.match(data) or _is_whole_string(data):
        return Evidence.YES
    return Evidence.MAYBE if ANSWER.match(data) or ANSWER_BEGUN.match(data) else Evidence.NO


def begins_command(data: bytes) -> bool:
    """Whether `data` begins with a command that Redis knows."""
    found = COMMAND.match(data)
    if found is None:
        found = LINE.match(data)
        if found is None or b" HTTP/1." in found[0]:
            return False
    name = found[1].decode().upper()
    return name in COMMANDS or name in CONTAINERS


def begins_answer(data: bytes) -> bool:
    return ANSWER.match(data) is not None


def read_error(head: bytes) -> str:
    """The code of the error that `head` begins with: a line, or a string behind its length."""
    if head[0] == BULK_ERROR:
        head = head[head.find(b"\n") :]
    return name_error(head[1:])


def read_request_head(head: bytes) -> RequestHead | None:
    """The first command in `head`, of which 64 bytes are enough; None when it does not begin with a command."""
    if not begins_command(head) and not COMMAND.match(head):
        return None
    reader = ValueReader(commands=True)
    values = reader.cut(head, 0)
    operation = name_operation(read_words(head, 2))
    return RequestHead(operation, length=values[0][2] if values else reader.foresee_size(), attributes=SYSTEM)


def read_response_head(head: bytes) -> ResponseHead | None:
    """The first value in `head`; None when it does not begin with an answer (a push is none)."""
    if not ANSWER.match(head) or head[0] == PUSH:
        return None
    if head[0] not in (ERROR, BULK_ERROR):
        return ResponseHead(Outcome.OK)
    word = read_error(head)
    return ResponseHead(Outcome.ERROR, word, word)


def _is_whole_string(data: bytes) -> bool:
    """A string that ends where its length says, which is no accident."""
    found = STRING.match(data)
    end = found.end() + int(found[1]) if found else 0
    return end > 0 and data[end : end + 2] == b"\r\n"
