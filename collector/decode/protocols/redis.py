"""Redis: commands and their answers on one connection, RESP2 and RESP3."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from collector.decode.protocols.draft import RequestDraft
from collector.decode.protocols.ordered_conversation import OUTSTANDING_MAX, PATIENT, OrderedConversation
from collector.decode.protocols.redis_commands import name_operation
from collector.decode.protocols.redis_heads import (
    begins_answer,
    begins_command,
    read_error,
    read_request_head,
    read_response_head,
    recognise,
)
from collector.decode.protocols.redis_mode import PLAIN, REPLICATING, SPECIALS, SUBSCRIBING, Mode, Special
from collector.decode.protocols.resp import (
    ARRAY,
    ATTRIBUTE,
    BULK_ERROR,
    ERROR,
    KEPT_BYTES,
    PUSH,
    Value,
    ValueReader,
    count_elements,
    read_words,
)
from collector.decode.request import Outcome, Side

__all__ = ["RedisConversation", "read_request_head", "read_response_head", "recognise"]

SHORTEST = 11  # *1 $1 X, with line ends: anything shorter is an empty array, or a line
CLIENT, SERVER, OK = Side.CLIENT, Side.SERVER, Outcome.OK
IGNORED = frozenset((ATTRIBUTE, 10, 13))  # before an answer, but none


class RedisConversation(OrderedConversation):
    """One connection. Every command is one request, from its first byte to its answer's last; its resource is ''.

    A command that the server was told not to answer (CLIENT REPLY) is a request of unknown outcome without an end. Messages to
    a subscriber are no requests.
    """

    def __init__(self) -> None:
        super().__init__()
        self._commands = ValueReader(commands=True)
        self._answers = ValueReader(commands=False)
        self._outstanding: deque[RequestDraft | Special] = deque()
        self._mode = Mode()
        self._replicating = False  # a command was asked after whose answer a stream of writes begins
        self._answering = False  # the first outstanding one's answer had begun, and not with an error

    def _ask(self, data: bytes, time_ns: int) -> None:
        if not self._commands.in_step:
            if not begins_command(data):
                self._discard("resynchronising")
                return
            self._commands.rejoin()
        if self._last_side is not CLIENT and not self._commands.kind:
            self._begin_turn(time_ns)
        self._take_commands(self._commands.cut(data, time_ns), time_ns)
        if not self._commands.in_step:
            self._discard("unexpected")
            self._lose(CLIENT)

    def _rejoin_answers(self) -> None:
        if not self._answers.in_step:
            self._answers.rejoin()

    def _is_waiting(self) -> bool:
        return bool(self._outstanding)

    def _take_commands(self, values: list[Value], time_ns: int) -> None:
        outstanding, mode = self._outstanding, self._mode
        for data, start, size, began_at in values:
            word = data.find(b"\n", start) + 1
            operation = PLAIN.get(data[word : data.find(b"\n", data.find(b"\n", word) + 1)])
            draft = RequestDraft("redis", operation or "", "", mode.attributes)
            draft.request_bytes = size
            draft.started_at = began_at
            draft.request_ended_at = time_ns
            if operation is None or size < SHORTEST or data[start] != ARRAY or mode.silent:
                self._take_special(draft, data[start : start + min(size, KEPT_BYTES)])
            else:
                outstanding.append(draft)
        if len(outstanding) > OUTSTANDING_MAX:
            self._discard("too_many_outstanding")
            self._doubtful = True
            self._give_up()

    def _take_special(self, draft: RequestDraft, head: bytes) -> None:
        """Any command but a known one that is answered once and changes nothing."""
        words = read_words(head, 3)
        if not words and (head[0] != ARRAY or head[1:2] in (b"0", b"-")):
            return  # an empty line or array is not answered
        draft.operation = operation = name_operation(words)
        if (self._mode.silent or operation == "CLIENT REPLY") and not self._mode.expect_answer(operation, words):
            self._finished.append(draft.seal())
        elif operation in SPECIALS:
            answers = count_elements(head) - 1 if operation in SUBSCRIBING else 1
            self._outstanding.append(Special(draft, words[1] if len(words) > 1 else b"", answers))
            self._replicating = self._replicating or operation in REPLICATING
        else:
            self._outstanding.append(draft)

    def _answer(self, data: bytes, time_ns: int) -> None:
        if not self._answers.in_step:
            if self._waits == PATIENT or self._last_side is not CLIENT or not begins_answer(data):
                self._discard("resynchronising")
                return
            self._answers.rejoin()
        if self._replicating and self._begins_replication(data, time_ns):
            self._close_eyes("replication")
            return
        self._take_answers(self._answers.cut(data, time_ns), time_ns)
        if not self._answers.in_step:
            self._discard("unexpected")
            self._lose(SERVER)

    def _take_answers(self, values: list[Value], time_ns: int) -> None:
        outstanding, finished = self._outstanding, self._finished
        for data, start, size, began_at in values:
            kind = data[start]
            if kind in IGNORED or ((kind == PUSH or self._mode.attentive) and self._is_push(data, start, size)):
                continue
            if not outstanding:
                self._discard("unmatched_answer")
                continue
            asked = outstanding.popleft()
            if isinstance(asked, Special):
                if not self._mode.take_effect(asked, data[start : start + min(size, KEPT_BYTES)]):
                    outstanding.appendleft(asked)
                    continue
                asked = asked.draft
            if not self._doubtful:
                asked.response_bytes = size
                asked.response_started_at = began_at
                asked.ended_at = time_ns
                asked.outcome = OK
                if kind in (ERROR, BULK_ERROR):
                    word = read_error(data[start : start + min(size, KEPT_BYTES)])
                    asked.fail(word, word)
            finished.append(asked.seal())

    def _is_push(self, data: bytes, start: int, size: int) -> bool:
        first = self._outstanding[0] if self._outstanding else None
        confirming = isinstance(first, Special) and first.draft.operation in SUBSCRIBING
        return self._mode.is_push(data[start : start + min(size, KEPT_BYTES)], confirming=confirming)

    def _begins_replication(self, data: bytes, time_ns: int) -> bool:
        """SYNC is answered by a data set, PSYNC by a line and perhaps a data set, both by writes without end."""
        first = self._outstanding[0] if self._outstanding else None
        if not isinstance(first, Special) or first.draft.operation not in REPLICATING or not data.lstrip(b"\n"):
            return False
        if data.lstrip(b"\n")[0] == ERROR:
            self._replicating = False
            return False
        draft = first.draft
        draft.outcome, draft.response_started_at, draft.ended_at = OK, time_ns, time_ns
        return True

    def _pass(self, side: Side, size: int, time_ns: int) -> None:
        reader = self._commands if side is CLIENT else self._answers
        was_in_step, kind = reader.in_step, reader.kind
        values = reader.skip(size)
        if was_in_step and not reader.in_step:
            self._discard("skipped")
            self._lose(side, kind)
        elif side is CLIENT:
            self._take_commands(values, time_ns)
        else:
            self._take_answers(values, time_ns)

    def _lose(self, side: Side, kind: int = 0) -> None:
        """kind: of the value that was under way."""
        if side is CLIENT:
            self._commands.lose()
        else:
            kind = kind or self._answers.kind
            certain = len(self._outstanding) == 1 and not self._doubtful and not self._mode.attentive
            self._answering = certain and kind not in (0, ERROR, BULK_ERROR, PUSH, ATTRIBUTE)
            self._answers.lose()
        self._doubtful = True

    def _drain(self) -> Iterator[RequestDraft]:
        outstanding, self._outstanding = self._outstanding, deque()
        for asked in outstanding:
            draft = asked.draft if isinstance(asked, Special) else asked
            if self._answering:
                draft.outcome = OK
            self._answering = False
            yield draft
