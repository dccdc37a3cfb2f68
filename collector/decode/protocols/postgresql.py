"""PostgreSQL: queries and their answers on one connection, protocol 3."""

from __future__ import annotations

from collections.abc import Iterable

from collector.decode.protocols import postgresql_messages as wire
from collector.decode.protocols.draft import RequestDraft
from collector.decode.protocols.message_framing import Message
from collector.decode.protocols.ordered_conversation import OUTSTANDING_MAX, PATIENT, OrderedConversation
from collector.decode.protocols.postgresql_heads import read_request_head, read_response_head, recognise
from collector.decode.protocols.postgresql_ledger import SYSTEM, Ledger
from collector.decode.protocols.postgresql_prepared import PreparedStatements
from collector.decode.protocols.sql import Dialect, Statement, find_reader
from collector.decode.request import Evidence, Side

__all__ = ["PostgresqlConversation", "read_request_head", "read_response_head", "recognise"]

FUNCTION_CALL = Statement("CALL")
CLIENT, SERVER = Side.CLIENT, Side.SERVER
EVENTS = frozenset(
    (wire.COMMAND_COMPLETE, wire.EMPTY_QUERY, wire.PORTAL_SUSPENDED, wire.ERROR, wire.READY, wire.COPY_BOTH),
)
ANYTIME = frozenset((wire.NOTICE, wire.NOTIFICATION, wire.PARAMETER_STATUS))
GROUP_BEGINNINGS = frozenset((wire.QUERY, wire.PARSE, wire.BIND, wire.EXECUTE, wire.DESCRIBE, wire.CLOSE, wire.FUNCTION_CALL))
NO_REPLICATION = frozenset((b"", b"0", b"off", b"false", b"no"))


class PostgresqlConversation(OrderedConversation):
    """One connection. What is a request, and when it ends:

    - a simple Query, whatever number of statements it has, with ReadyForQuery, as the server's log has it;
    - each Execute with CommandComplete, EmptyQueryResponse, PortalSuspended or ErrorResponse; it begins with the first of
      the Parse, Bind and Describe messages before it that the server had not answered when the next one was sent;
    - Parse without Execute as PREPARE, and a function call as CALL, with ReadyForQuery.
    What the server skips after an error in a pipeline is an error, too: of type pipeline_aborted, without status. An error at
    a Sync (a commit that fails) is one of the last request before it, which is therefore given out with ReadyForQuery.
    Of statements prepared before this began, the operation is known from the answer, the table is not.
    keep_text: sanitised texts become attributes.
    """

    def __init__(self, *, keep_text: bool = False) -> None:
        super().__init__()
        self._client = wire.PostgresqlFramer(CLIENT)
        self._server = wire.PostgresqlFramer(SERVER)
        self._prepared = PreparedStatements(find_reader(Dialect.POSTGRESQL, keep_text=keep_text))
        self._ledger = Ledger()
        self._greeted = False  # bytes of the client came
        self._logging_in = False  # a ReadyForQuery will come that ends no group
        self._negotiating = False  # the server's next byte accepts or refuses encryption

    def _ask(self, data: bytes, time_ns: int) -> None:
        if not self._greeted:
            self._greeted = True
            self._client.starting = self._logging_in = data[0] == 0
            self._client.in_step = data[0] == 0
        if not self._client.in_step:
            if wire.follow_chain(CLIENT, data) is Evidence.NO:
                self._discard("resynchronising")
                return
            self._client.rejoin()
        notable = self._doubtful or self._ledger.asked or self._waits < PATIENT
        if notable and self._last_side is not CLIENT and data[0] in GROUP_BEGINNINGS and self._client.is_between():
            self._begin_turn(time_ns)
            self._ledger.doubtful = self._doubtful
        self._take_messages(self._client.cut(data, time_ns), time_ns)

    def _take_messages(self, messages: Iterable[Message], time_ns: int) -> None:
        prepared, ledger = self._prepared, self._ledger
        for data, start, size, began_at in messages:
            kind = data[start]
            if kind == wire.QUERY:
                ledger.ask(prepared.read_query(data, start, size), size, began_at, time_ns)
            elif kind == wire.EXECUTE:
                ledger.execute(prepared.execute(data, start, size), size, began_at, time_ns)
            elif kind == wire.BIND:
                ledger.bind(prepared.bind(data, start, size), size, began_at, time_ns)
            elif kind == wire.PARSE:
                ledger.prepare(prepared.parse(data, start, size), size, began_at, time_ns).parses = True
            elif kind == wire.SYNC:
                ledger.sync()
            else:
                self._take_other(kind, (data, start, size, began_at), time_ns)
        if not self._client.in_step:
            self._lose(CLIENT)
            self._discard("unexpected")
        if len(ledger.asked) > OUTSTANDING_MAX:
            self._discard("too_many_outstanding")
            self._doubtful = ledger.doubtful = True
            self._give_up()
        self._take_finished()

    def _take_other(self, kind: int, message: Message, time_ns: int) -> None:
        data, start, size, began_at = message
        if kind == 0:
            self._start(data, start, size)
        elif kind in (wire.DESCRIBE, wire.CLOSE):
            self._ledger.prepare(None, size, began_at, time_ns)
            if kind == wire.CLOSE:
                self._prepared.close(data, start, size)
        elif kind in (wire.COPY_DATA, wire.COPY_DONE, wire.COPY_FAIL):
            self._ledger.copy(size, time_ns)
        elif kind == wire.FUNCTION_CALL:
            self._ledger.ask(FUNCTION_CALL, size, began_at, time_ns)

    def _start(self, data: bytes, start: int, size: int) -> None:
        """A message of the time before the server knows who asks."""
        code = int.from_bytes(data[start + 4 : start + 8])
        if code in (wire.TLS, wire.GSSAPI):
            self._negotiating = True
        elif code >> 16 == wire.PROTOCOL_3:
            parameters = wire.read_start(data, start, size)
            if parameters.get(b"replication", b"").lower() not in NO_REPLICATION:
                self._close_eyes("replication")
            database = parameters.get(b"database", b"").decode("utf-8", "replace")
            if database and database.isprintable():
                self._ledger.attributes = {**SYSTEM, "db.namespace": database[: wire.NAME_BYTES]}

    def _answer(self, data: bytes, time_ns: int) -> None:
        if self._negotiating:
            self._negotiating = False
            if data[:1] in (b"S", b"G"):
                self._close_eyes("tls" if data[:1] == b"S" else "gssapi")
                return
            data = data[1:] if data[:1] == b"N" else data
        if not self._greeted and wire.follow_chain(SERVER, data) is not Evidence.YES:
            self._greeted = True
            self._client.lose()
            self._lose(SERVER)
        if not self._server.in_step:
            data = self._find_step(data, time_ns)
            if not self._server.in_step:
                return
        self._take_answers(self._server.cut(data, time_ns), time_ns)

    def _take_answers(self, messages: Iterable[Message], time_ns: int) -> None:
        ledger = self._ledger
        rows = answer_bytes = began_first = 0
        for data, start, size, began_at in messages:
            kind = data[start]
            if kind in ANYTIME:
                continue
            began_first = began_first or began_at
            answer_bytes += size
            if kind == wire.DATA_ROW:
                rows += 1
            elif kind in EVENTS:
                ledger.answer(answer_bytes, began_first, rows)
                rows = answer_bytes = began_first = 0
                self._take_event(kind, data, start, size, time_ns)
        if answer_bytes:
            ledger.answer(answer_bytes, began_first, rows)
        if not self._server.in_step:
            self._discard("unexpected")
            self._lose(SERVER)
        self._take_finished()

    def _take_event(self, kind: int, data: bytes, start: int, size: int, time_ns: int) -> None:
        ledger = self._ledger
        if kind == wire.COMMAND_COMPLETE:
            ledger.complete(wire.read_tag(data, start, size), time_ns)
        elif kind in (wire.EMPTY_QUERY, wire.PORTAL_SUSPENDED):
            ledger.complete(b"", time_ns)
        elif kind == wire.ERROR:
            ledger.fail(wire.read_state(data, start, size), time_ns)
        elif kind == wire.READY:
            if not ledger.end_group(time_ns) and not self._logging_in:
                self._discard("unmatched_answer")
            self._logging_in = False
        elif kind == wire.COPY_BOTH:
            self._close_eyes("replication")

    def _find_step(self, data: bytes, time_ns: int) -> bytes:
        """What follows the next certain end of a group, with which the server's side is in step again."""
        end, last = wire.find_group_end(data)
        if end < 0:
            self._discard("resynchronising")
            return data
        self._server.rejoin()
        if self._waits == PATIENT and self._ledger.conclude(last, time_ns):
            self._doubtful = False
        else:
            self._give_up()
        return data[end:]

    def _pass(self, side: Side, size: int, time_ns: int) -> None:
        framer = self._client if side is CLIENT else self._server
        if side is SERVER:
            self._take_answers(framer.finish_begun(size), time_ns)
        was_in_step = framer.in_step
        messages = framer.skip(size)
        if was_in_step and not framer.in_step:
            self._discard("skipped")
            self._lose(side)
        elif side is CLIENT:
            self._take_messages(messages, time_ns)
        else:
            self._take_answers(messages, time_ns)

    def _lose(self, side: Side) -> None:
        if side is CLIENT:
            self._client.lose()
            self._ledger.miss_requests()
        else:
            self._server.lose()
            self._ledger.miss_answers()
        self._greeted = True
        self._doubtful = self._ledger.doubtful = True

    def _take_finished(self) -> None:
        if self._ledger.finished:
            self._finished.extend(self._ledger.finished)
            self._ledger.finished = []

    def _rejoin_answers(self) -> None:
        if not self._server.in_step:
            self._server.rejoin()

    def _is_waiting(self) -> bool:
        return self._ledger.is_waiting()

    def _drain(self) -> Iterable[RequestDraft]:
        drafts = list(self._ledger.drain())
        self._take_finished()
        return drafts
