"""One HTTP/1 request and its answer while they go over the wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from collector.decode.protocols.http1_head import RequestHead
from collector.decode.protocols.http_semantics import HTTP_RESULTS, http_attributes
from collector.decode.request import Outcome, Request, Side


class Exchange:
    """asked: the request is whole (or will never be). answered: so is the final answer. Times boot_ns, 0 not known.

    bytes, body and ended are indexed by side; body -1 means not known.
    """

    __slots__ = (
        "answer_started",
        "answered",
        "asked",
        "body",
        "bytes",
        "ended",
        "head",
        "interim",
        "started",
        "status",
    )

    def __init__(self, head: RequestHead, started: int, ended: int, size: int) -> None:
        self.head = head
        self.started = started
        self.status = 0
        self.answer_started = 0
        self.interim = False  # a 1xx came
        self.asked = False
        self.answered = False
        self.bytes = [size, 0]
        self.body = [0, 0]
        self.ended = [ended, 0]

    def pass_bytes(self, side: Side, size: int, time_ns: int) -> None:
        """`size` more bytes of that side's message."""
        self.bytes[side] += size
        self.ended[side] = time_ns

    def may_keep_body(self) -> bool:
        """RFC 9110, 10.1.1: a client that asked for 100 and got the final answer need not send its body."""
        return self.head.expects_continue and not self.interim and self.body[Side.CLIENT] == 0

    def request(self, scheme: str, outcome: Outcome | None = None) -> Request:
        """As it is now; the outcome follows from the status when there is one."""
        head, status, asked, answered = self.head, self.status, self.asked, self.answered
        text, error_type, result = HTTP_RESULTS[status] if status else ("", "", outcome or Outcome.UNKNOWN)
        return Request(
            "http",
            head.method,
            head.path,
            result,
            text,
            error_type,
            self.bytes[0],
            self.bytes[1],
            self.body[0] if asked else -1,
            self.body[1] if answered else -1,
            self.started,
            self.ended[0] if asked else 0,
            self.answer_started,
            self.ended[1] if answered else 0,
            head.trace_parent,
            http_attributes(head, scheme, status),
        )


class ExchangeQueue:
    """Requests in the order they were sent, until each has its answer. A gap stands where requests may have been missed."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._waiting: deque[Exchange | None] = deque()  # None: a gap
        self._finished: list[Request] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, exchange: Exchange) -> None:
        """The next request."""
        self._waiting.append(exchange)

    def add_gap(self) -> None:
        """Any number of requests that nobody read."""
        if not self._waiting or self._waiting[-1] is not None:
            self._waiting.append(None)

    def close_gap(self) -> None:
        """The client begins to speak: when nothing else waits, what was missed was answered too."""
        if len(self._waiting) == 1 and self._waiting[0] is None:
            self._waiting.clear()

    def has_gap(self) -> bool:
        """Requests may have been missed."""
        return None in self._waiting

    def first_unanswered(self) -> Exchange | None:
        """Whose answer comes next; None when that is not certain."""
        exchange = self._waiting[0] if self._waiting else None
        return None if exchange is None or exchange.answered else exchange

    def emit(self, exchange: Exchange) -> None:
        """Its request is finished. One that was flushed before is not given twice."""
        if self._waiting and self._waiting[0] is exchange:
            self._waiting.popleft()
            self._finished.append(exchange.request(self._scheme))

    def drop(self, exchange: Exchange) -> None:
        """It is answered elsewhere."""
        self._waiting.remove(exchange)

    def flush(self, outcome: Outcome, *, kept: Exchange | None = None) -> None:
        """None of what waits will be answered any more, but for `kept`. Behind a gap it is not known what was answered."""
        for exchange in self._waiting:
            if exchange is None:
                outcome = Outcome.UNKNOWN
            elif exchange is not kept:
                self._finished.append(exchange.request(self._scheme, outcome))
        self._waiting.clear()
        if kept is not None:
            self._waiting.append(kept)

    def take_finished(self) -> Sequence[Request]:
        """Finished since the last call."""
        if not self._finished:
            return ()
        finished, self._finished = self._finished, []
        return finished

    def add_finished(self, requests: Sequence[Request]) -> None:
        """Requests that another conversation finished."""
        self._finished.extend(requests)
