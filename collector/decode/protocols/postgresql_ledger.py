"""What a PostgreSQL client asked, in order, and how far the server has answered it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from collector.decode.protocols.draft import RequestDraft
from collector.decode.protocols.postgresql_messages import read_state, read_tag
from collector.decode.protocols.postgresql_prepared import UNKNOWN
from collector.decode.protocols.sql import Statement
from collector.decode.protocols.sql_outline import OPERATIONS
from collector.decode.request import Outcome, Request
from collector.instruments import AttributeValue

SYSTEM: dict[str, AttributeValue] = {"db.system.name": "postgresql"}
OK, FAILED, UNCLEAR = Outcome.OK, Outcome.ERROR, Outcome.UNKNOWN
RETURNING = (b"SELECT", b"FETCH")  # tags that come with rows, even when these are none
UNCOUNTED = -(1 << 60)  # rows when some were not seen
ABORTED = "pipeline_aborted"  # error_type of what the server skips after an error, up to the next Sync


class Asked:
    """A simple query, or one run of Parse, Bind, Describe and Execute, or a Sync, which has no draft.

    ends_group: ReadyForQuery is its last answer. executes, parses: the run has an Execute, a Parse. answered: the server has
    begun to. has_rows: it returns rows, of which `rows` have come, below zero when some may not have been seen.
    """

    __slots__ = ("answered", "draft", "ends_group", "executes", "has_rows", "parses", "rows", "statement")

    def __init__(self, draft: RequestDraft | None, statement: Statement, *, ends_group: bool) -> None:
        self.draft = draft
        self.statement = statement
        self.ends_group = ends_group
        self.executes = self.parses = self.answered = self.has_rows = False
        self.rows = 0


class Ledger:
    """attributes: of the connection. doubtful: answers may belong to other requests. finished: for the owner to take away."""

    def __init__(self) -> None:
        self.attributes = SYSTEM
        self.doubtful = False
        self.finished: list[Request] = []
        self.asked: deque[Asked] = deque()
        self._run: Asked | None = None  # to which the client may still add
        self._completed: RequestDraft | None = None  # answered, but an error at the group's end would be its error
        self._failed = False  # the server skips everything until the group ends

    def ask(self, statement: Statement, size: int, began_at: int, time_ns: int) -> None:
        """A simple query or a function call."""
        self._run = None
        asked = self._open(began_at, statement, ends_group=True)
        self._extend(asked, size, time_ns)
        asked.executes = True

    def prepare(self, statement: Statement | None, size: int, began_at: int, time_ns: int) -> Asked:
        """A Parse, Bind, Describe or Close; with a statement when it names one."""
        run = self._run
        if run is None:
            run = self._run = self._open(began_at, UNKNOWN, ends_group=False)
        if statement is not None:
            run.statement = statement
        self._extend(run, size, time_ns)
        return run

    def bind(self, statement: Statement, size: int, began_at: int, time_ns: int) -> None:
        """A Bind begins a new request when the server has answered what was prepared before."""
        run = self._run
        if run and run.answered and run.draft:
            run.draft.started_at, run.draft.request_bytes = began_at, 0
        self.prepare(statement, size, began_at, time_ns)

    def execute(self, statement: Statement, size: int, began_at: int, time_ns: int) -> None:
        self.prepare(statement, size, began_at, time_ns).executes = True
        self._run = None

    def sync(self) -> None:
        self._run = None
        self.asked.append(Asked(None, UNKNOWN, ends_group=True))

    def copy(self, size: int, time_ns: int) -> None:
        """The client sent data for COPY."""
        if self.asked:
            self._extend(self.asked[0], size, time_ns)

    def answer(self, size: int, began_at: int, rows: int = 0) -> None:
        """Messages of the answer to what was asked first, `rows` of them rows."""
        if self.asked:
            first = self.asked[0]
            first.answered = True
            first.rows += rows
            if first.draft:
                first.draft.response_bytes += size
                first.draft.response_started_at = first.draft.response_started_at or began_at

    def complete(self, tag: bytes, time_ns: int) -> None:
        """One statement is done; `tag` says which, and with how many rows, b'' unknown."""
        first = self.asked[0] if self.asked else None
        if first is None or first.draft is None:
            return
        first.has_rows = first.has_rows or first.rows > 0 or tag.startswith(RETURNING)
        if not first.statement.operation:
            word = tag.partition(b" ")[0].rstrip(b"\0").decode("latin-1")
            first.draft.operation = word if word in OPERATIONS else ""
        if not first.ends_group:
            self._pop()
            self._release()
            self._completed = self._finish(first, OK, time_ns)

    def fail(self, state: str, time_ns: int) -> None:
        """An error: of what was asked first or, when that is a Sync, of the commit of what was before it."""
        first = self.asked[0] if self.asked else None
        draft = first.draft if first and first.draft else self._completed
        if draft and not self.doubtful:
            draft.fail(state, state or "_OTHER")
        if first and first.draft and not first.ends_group:
            self._pop()
            self._release()
            self._failed = True
            self._finish(first, FAILED, time_ns)
            self._completed = first.draft if first.executes or first.parses else None

    def end_group(self, time_ns: int) -> bool:
        """ReadyForQuery. False: none was due."""
        if self._completed:
            self._release()
        failed, self._failed = self._failed, False
        while self.asked:
            first = self._pop()
            if first.draft and (first.executes or first.parses):
                outcome = UNCLEAR if first.executes and not first.ends_group else OK
                if failed and not self.doubtful:
                    first.draft.fail("", ABORTED)
                self.finished.append(self._finish(first, outcome, time_ns).seal())
            if first.ends_group:
                return True
        return False

    def conclude(self, last: bytes, time_ns: int) -> bool:
        """The group that is outstanding ended in bytes of which only the last message is known. False: there is not just one."""
        requests = [asked for asked in self.asked if asked.executes or asked.parses]
        if sum(asked.ends_group for asked in self.asked) != 1 or len(requests) > 1:
            return False
        self.doubtful = not last
        if last[:1] == b"C":
            self.complete(read_tag(last, 0, len(last)), time_ns)
        elif last:
            self.fail(read_state(last, 0, len(last)), time_ns)
        self.end_group(time_ns)
        self.doubtful = False
        return True

    def is_waiting(self) -> bool:
        """Whether anything is outstanding beside the run to which the client still adds."""
        return len(self.asked) > (self._run is not None)

    def miss_answers(self) -> None:
        """Some of the server's messages will not come."""
        if self.asked:
            self.asked[0].rows = UNCOUNTED

    def miss_requests(self) -> None:
        """Some of the client's messages will not come."""
        self._run = None

    def drain(self) -> Iterator[RequestDraft]:
        """What is outstanding, and is forgotten."""
        self._release()
        asked, self.asked, self._run, self._failed = self.asked, deque(), None, False
        for one in asked:
            if one.draft and (one.executes or one.parses):
                yield self._describe(one)

    def _open(self, began_at: int, statement: Statement, *, ends_group: bool) -> Asked:
        draft = RequestDraft("postgresql", "", "", self.attributes)
        draft.started_at = began_at
        asked = Asked(draft, statement, ends_group=ends_group)
        self.asked.append(asked)
        return asked

    def _pop(self) -> Asked:
        first = self.asked.popleft()
        self._run = None if self._run is first else self._run
        return first

    def _extend(self, asked: Asked, size: int, time_ns: int) -> None:
        if asked.draft:
            asked.draft.request_bytes += size
            asked.draft.request_ended_at = time_ns

    def _finish(self, asked: Asked, outcome: Outcome, time_ns: int) -> RequestDraft:
        draft = self._describe(asked)
        if self.doubtful:
            draft.response_bytes = draft.response_started_at = 0
            return draft
        draft.ended_at = time_ns
        if draft.outcome is not FAILED:
            draft.outcome = outcome
        return draft

    def _describe(self, asked: Asked) -> RequestDraft:
        draft, statement = asked.draft, asked.statement
        if draft is None:
            raise TypeError
        draft.resource = statement.collection
        draft.trace_parent = statement.trace_parent
        if not asked.executes:
            draft.operation = "PREPARE"
        else:
            draft.operation = statement.operation or draft.operation
            rows: dict[str, AttributeValue] = (
                {"db.response.returned_rows": asked.rows} if asked.has_rows and asked.rows >= 0 else {}
            )
            draft.attributes = {**self.attributes, **statement.attributes, **rows}
        return draft

    def _release(self) -> None:
        """The last completed request stays as it is."""
        if self._completed:
            self.finished.append(self._completed.seal())
            self._completed = None
