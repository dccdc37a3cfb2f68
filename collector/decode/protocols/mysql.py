"""MySQL and MariaDB: commands and their answers on one connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from collector.decode.protocols import mysql_commands as commands
from collector.decode.protocols.draft import RequestDraft
from collector.decode.protocols.message_framing import Message
from collector.decode.protocols.mysql_answer import Answer
from collector.decode.protocols.mysql_commands import COMMANDS, Shape
from collector.decode.protocols.mysql_heads import read_request_head, read_response_head, recognise, recognise_command
from collector.decode.protocols.mysql_packets import EOF, EOF_LENGTH, FULL, HEAD_BYTES, OK, MysqlFramer
from collector.decode.protocols.mysql_session import PREPARING, UNKNOWN, Session
from collector.decode.protocols.ordered_conversation import OUTSTANDING_MAX, OrderedConversation
from collector.decode.protocols.sql import Statement
from collector.decode.request import Evidence, Outcome, Side

__all__ = ["MysqlConversation", "read_request_head", "read_response_head", "recognise"]

CLIENT, SERVER = Side.CLIENT, Side.SERVER
FINE, UNCLEAR = Outcome.OK, Outcome.UNKNOWN
UNDECIDED, LOGIN, COMMANDING = "undecided", "login", "commanding"
STATE = "honeyguide.db.sqlstate"  # no semantic convention has a place for it beside the error's number


class Asked:
    """A command that waits for its answer. sequence: of the server's next packet. database: that it selects, when it succeeds."""

    __slots__ = ("answer", "command", "database", "draft", "sequence", "statement")

    def __init__(self, draft: RequestDraft, answer: Answer, command: int, statement: Statement) -> None:
        self.draft = draft
        self.answer = answer
        self.command = command
        self.statement = statement
        self.sequence = 1
        self.database = statement.database


class MysqlConversation(OrderedConversation):
    """One connection. Every command that is answered is one request, from its first byte to its answer's last, with all results
    of several statements; so are COM_STMT_PREPARE (operation PREPARE) and commands without a statement (PING, INIT_DB, ...).

    A packet's sequence number says where in an answer it stands, so an answer of which bytes were lost spoils no other one.
    keep_text: sanitised texts become attributes.
    """

    def __init__(self, *, keep_text: bool = False) -> None:
        super().__init__()
        self._client = MysqlFramer(CLIENT)
        self._server = MysqlFramer(SERVER)
        self._session = Session(keep_text=keep_text)
        self._outstanding: deque[Asked] = deque()
        self._phase = UNDECIDED
        self._client_goes_on = self._server_goes_on = False  # the last packet was a full one

    def _ask(self, data: bytes, time_ns: int) -> None:
        if self._phase == UNDECIDED:
            self._phase = LOGIN if data[3:4] == b"\1" else COMMANDING
            self._client.in_step = recognise(CLIENT, data) is not Evidence.NO
        if not self._client.in_step:
            if len(data) <= HEAD_BYTES or recognise_command(data) is Evidence.NO:
                self._discard("resynchronising")
                return
            self._client.rejoin()
            self._client_goes_on = False
        if self._last_side is not CLIENT and data[3:4] == b"\0" and self._client.is_between():
            self._begin_turn(time_ns)
        self._take_commands(self._client.cut(data, time_ns), time_ns)

    def _take_commands(self, messages: Iterable[Message], time_ns: int) -> None:
        for data, start, size, began_at in messages:
            goes_on, self._client_goes_on = self._client_goes_on, size == FULL + HEAD_BYTES
            if self._phase == LOGIN:
                self._session.respond(data[start + HEAD_BYTES : start + size])
            elif goes_on or data[start + 3] != 0 or self._is_sending_file():
                self._take_more(data, start, size, time_ns)
            else:
                self._take_command(data, start, size, (began_at, time_ns))
        if self._session.opaque:
            self._close_eyes(self._session.opaque)
        if len(self._outstanding) > OUTSTANDING_MAX // 4:  # each takes four times as much as elsewhere
            self._discard("too_many_outstanding")
            self._doubtful = True
            self._give_up()

    def _is_sending_file(self) -> bool:
        return bool(self._outstanding) and self._outstanding[0].answer.wants_file

    def _take_more(self, data: bytes, start: int, size: int, time_ns: int) -> None:
        """The rest of a long command, the content of a file, or something of a change of user."""
        if not self._outstanding:
            return  # the rest of a command that is not answered
        sending = self._is_sending_file()
        asked = self._outstanding[0 if sending else -1]
        asked.draft.request_bytes += size
        asked.draft.request_ended_at = time_ns
        asked.sequence = (data[start + 3] + 1) & 0xFF
        if sending and size == HEAD_BYTES:
            asked.answer.wants_file = False

    def _take_command(self, data: bytes, start: int, size: int, times: tuple[int, int]) -> None:
        command = data[start + HEAD_BYTES] if size > HEAD_BYTES else -1
        name, shape = COMMANDS.get(command, ("", Shape.NONE))
        if command not in COMMANDS:
            self._discard("unexpected")
            self._lose(CLIENT)
        elif shape is Shape.STREAM:
            self._close_eyes("replication")
        elif command == commands.STMT_CLOSE:
            self._session.forget(data, start)
        elif shape is not Shape.NONE:
            asked = self._open(command, data, start, size)
            draft = asked.draft
            draft.operation = draft.operation or name
            draft.request_bytes = size
            draft.started_at, draft.request_ended_at = times
            self._outstanding.append(asked)

    def _open(self, command: int, data: bytes, start: int, size: int) -> Asked:
        session = self._session
        shown = statement = UNKNOWN
        if command in (commands.QUERY, commands.STMT_PREPARE):
            shown = statement = session.read_query(data, start, size)
        elif command in (commands.STMT_EXECUTE, commands.STMT_BULK_EXECUTE):
            shown = statement = session.find_prepared(data, start)
        if command == commands.STMT_PREPARE:
            session.prepare(statement)
            shown = PREPARING
        draft = RequestDraft("mysql", shown.operation, statement.collection, {**session.attributes, **shown.attributes})
        draft.trace_parent = statement.trace_parent
        asked = Asked(draft, Answer(COMMANDS[command][1], session.old_end), command, statement)
        if command in (commands.INIT_DB, commands.CHANGE_USER):
            asked.database = session.read_database(data, start, size)
        return asked

    def _answer(self, data: bytes, time_ns: int) -> None:
        if self._phase == UNDECIDED:
            self._phase = LOGIN if data[3:4] in (b"", b"\0") and data[4:5] in (b"", b"\x0a", b"\xff") else COMMANDING
            if self._phase == COMMANDING:
                self._client.lose()
                self._lose(SERVER)
        if not self._server.in_step:
            self._discard("resynchronising")
            return
        self._take_packets(self._server.cut(data, time_ns), time_ns)

    def _take_packets(self, messages: Iterable[Message], time_ns: int) -> None:
        for message in messages:
            goes_on, self._server_goes_on = self._server_goes_on, message[2] == FULL + HEAD_BYTES
            if self._phase == LOGIN:
                self._take_login(message)
            elif not self._outstanding:
                self._note_stray(message)
            elif not self._take_packet(message, goes_on, time_ns):
                self._discard("unexpected")
                self._lose(SERVER)
                return

    def _take_login(self, message: Message) -> None:
        data, start, size, _ = message
        kind = data[start + HEAD_BYTES] if size > HEAD_BYTES else -1
        if data[start + 3] == 0:
            self._session.greet(data[start + HEAD_BYTES : start + size])
        elif kind == OK:
            self._phase = COMMANDING
            self._session.log_in()
            if self._session.opaque:
                self._close_eyes(self._session.opaque)

    def _note_stray(self, message: Message) -> None:
        """A packet that nobody asked for; the end of a PREPARE's answer is one when its length was not known."""
        data, start, size, _ = message
        if size != HEAD_BYTES + EOF_LENGTH or data[start + HEAD_BYTES] != EOF:
            self._discard("unmatched_answer")

    def _take_packet(self, message: Message, goes_on: bool, time_ns: int) -> bool:
        """A packet of an answer; False when it cannot be one."""
        data, start, size, began_at = message
        asked = self._outstanding[0]
        sequence = data[start + 3]
        if sequence != asked.sequence:
            if len(self._outstanding) < 2 or sequence != self._outstanding[1].sequence or not asked.draft.response_started_at:
                return False
            self._discard("unfinished_answer")
            self._finish(self._outstanding.popleft(), 0, UNCLEAR)
            asked = self._outstanding[0]
        draft = asked.draft
        asked.sequence = (sequence + 1) & 0xFF
        draft.response_bytes += size
        draft.response_started_at = draft.response_started_at or began_at
        if not goes_on and asked.answer.take(data, start, size):
            self._outstanding.popleft()
            self._finish(asked, time_ns, UNCLEAR if self._doubtful else FINE)
        return True

    def _finish(self, asked: Asked, time_ns: int, outcome: Outcome) -> None:
        draft, answer = asked.draft, asked.answer
        draft.outcome = outcome
        draft.ended_at = time_ns
        if outcome is UNCLEAR:
            draft.ended_at = draft.response_started_at = draft.response_bytes = 0
        elif answer.failure:
            number = str(answer.failure.number)
            draft.fail(number, number)
            draft.attributes = {**draft.attributes, STATE: answer.failure.state}
        else:
            self._take_effect(asked)
        if answer.has_rows and answer.rows >= 0 and outcome is FINE:
            draft.attributes = {**draft.attributes, "db.response.returned_rows": answer.rows}
        self._finished.append(draft.seal())

    def _take_effect(self, asked: Asked) -> None:
        """What a command that succeeded has changed on the connection."""
        session, answer = self._session, asked.answer
        if answer.status >= 0:
            session.note_status(answer.status)
        if answer.statement_id >= 0:
            session.remember(answer.statement_id, asked.statement)
        if asked.command in (commands.CHANGE_USER, commands.RESET_CONNECTION):
            session.forget_all()
        if asked.database or asked.command == commands.CHANGE_USER:
            session.select(asked.database)

    def _pass(self, side: Side, size: int, time_ns: int) -> None:
        framer = self._client if side is CLIENT else self._server
        was_in_step = framer.in_step
        messages = framer.skip(size)
        if was_in_step and not framer.in_step:
            self._discard("skipped")
            self._lose(side)
        elif side is CLIENT:
            self._take_commands(messages, time_ns)
        else:
            self._take_packets(messages, time_ns)

    def _lose(self, side: Side) -> None:
        if self._phase == UNDECIDED:
            self._phase = COMMANDING
        (self._client if side is CLIENT else self._server).lose()
        self._doubtful = True

    def _rejoin_answers(self) -> None:
        if not self._server.in_step:
            self._server.rejoin()
            self._server_goes_on = False

    def _is_waiting(self) -> bool:
        return bool(self._outstanding)

    def _drain(self) -> Iterator[RequestDraft]:
        outstanding, self._outstanding = self._outstanding, deque()
        return (asked.draft for asked in outstanding)
