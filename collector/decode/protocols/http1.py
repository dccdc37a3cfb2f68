"""HTTP/1.0 and 1.1 (RFC 9110, 9112): what one connection was asked and how it answered, without keeping a byte of a body.

Framing is followed exactly on both sides; answers are given to requests in order. When a side can not be followed any
more (lost bytes, contradictory lengths, no HTTP at all) it is dropped until its next turn, that is the first bytes after
the other side spoke: there a message begins, or nothing is read. Requests that may have been missed meanwhile stand in
the queue as None, so that no answer goes to the wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from collector.decode.protocols.http1_body import ChunkedBody, CountedBody
from collector.decode.protocols.http1_exchange import Exchange, ExchangeQueue
from collector.decode.protocols.http1_head import (
    CHUNKED,
    UNKNOWN_EXTENT,
    UNTIL_CLOSE,
    HeadMemory,
    ResponseHead,
    find_head_end,
    has_regular_lines,
    may_begin,
    may_begin_response,
    read_request_head,
    read_response_head,
)
from collector.decode.protocols.http2 import Http2Conversation
from collector.decode.protocols.http_semantics import HEAD_LIMIT, http_attributes
from collector.decode.protocols.websocket import OpaqueConversation, Upgrade
from collector.decode.request import Conversation, Evidence, Outcome, Request, Side

HEADS = HeadMemory()  # of all connections
WAITING_MAX = 512  # requests sent ahead on one connection
REQUEST_LINE = re.compile(rb"[A-Z][A-Z\-]{1,31} [/*0-9A-Za-z\[][\x21-\x7e\x80-\xff]* HTTP/1\.[01]\r?\n")
REQUEST_LINE_BEGINNING = re.compile(rb"[A-Z][A-Z\-]{0,31}(?: (?:[/*0-9A-Za-z\[][\x20-\x7e\x80-\xff]*\r?)?)?")


def recognise(side: Side, data: bytes) -> Evidence:
    """YES for a whole request line of version 1.0 or 1.1, or for such a status line; every other protocol differs in it."""
    if side is Side.SERVER:
        if not may_begin_response(data):
            return Evidence.NO
        return Evidence.YES if len(data) >= 13 else Evidence.MAYBE
    if REQUEST_LINE.match(data):
        return Evidence.YES
    if not data or (len(data) <= HEAD_LIMIT and REQUEST_LINE_BEGINNING.fullmatch(data)):
        return Evidence.MAYBE
    return Evidence.NO


class _Flow:
    """Where one side is. lost: nothing is read before its next turn. unproven: what comes must look like a head in every line."""

    __slots__ = ("body", "buffer", "exchange", "lost", "searched", "since", "unproven")

    def __init__(self) -> None:
        self.body: CountedBody | ChunkedBody | None = None
        self.exchange: Exchange | None = None  # whose message this is, while it is not whole
        self.buffer = b""  # a head that is not whole
        self.since = 0
        self.searched = 0
        self.lost = True
        self.unproven = False


class Http1Conversation:
    """One connection, also joined while it is in use. scheme: http, or https under TLS. See `Conversation`."""

    def __init__(self, scheme: str = "http", head_limit: int = HEAD_LIMIT) -> None:
        self.discarded: dict[str, int] = {}
        self._scheme = scheme
        self._head_limit = head_limit
        self._successor: Conversation | None = None  # after an upgrade
        self._turn: Side | None = None
        self._unsettled = True  # a side is lost, or requests may have been missed
        self._client = _Flow()
        self._server = _Flow()
        self._waiting = ExchangeQueue(scheme)

    @property
    def opaque(self) -> bool:
        """Nothing will be parsed any more: bytes may be skipped."""
        return isinstance(self._successor, OpaqueConversation)

    def feed(self, side: Side, data: bytes, time_ns: int) -> Sequence[Request]:
        """See `Conversation`."""
        if self._successor is not None:
            return self._successor.feed(side, data, time_ns)
        if data:
            self._read(side, data, time_ns)
        return self._waiting.take_finished()

    def skip(self, side: Side, size: int, time_ns: int) -> Sequence[Request]:
        """See `Conversation`. Stays in step within bodies, whatever their framing."""
        if self._successor is not None:
            return self._successor.skip(side, size, time_ns)
        if size > 0:
            self._pass_unseen(side, size, time_ns)
        return self._waiting.take_finished()

    def lose(self, side: Side) -> None:
        """See `Conversation`. Answers that were lost, or may have been, become requests of unknown outcome."""
        if self._successor is not None:
            return self._successor.lose(side)
        flow = self._server if side else self._client
        if side:
            flow.exchange = None  # what is known of its answer is all there will be
        elif flow.exchange is not None:
            flow.exchange.ended[side] = 0
        self._leave(side, "lost")
        flow.exchange = None
        return None

    def end(self, time_ns: int) -> Sequence[Request]:
        """See `Conversation`. An answer whose end is the end of the connection is whole now."""
        if self._successor is not None:
            return self._successor.end(time_ns)
        self._end_answer()
        if self._client.buffer:
            self._count("half_request")
        if self._server.buffer:
            self._count("half_answer")
            self._waiting.flush(Outcome.UNKNOWN)
        self._waiting.flush(Outcome.UNANSWERED)
        self._client, self._server, self._turn, self._unsettled = _Flow(), _Flow(), None, True
        return self._waiting.take_finished()

    def _count(self, reason: str) -> None:
        self.discarded[reason] = self.discarded.get(reason, 0) + 1

    def _read(self, side: Side, data: bytes, time_ns: int) -> None:
        flow = self._server if side else self._client
        if side is not self._turn:
            self._turn = side
            if self._unsettled:
                self._take_turn(side, flow)
        if flow.buffer:
            flow.searched = len(flow.buffer)
            data = flow.buffer + data
            flow.buffer = b""
        else:
            flow.searched, flow.since = 0, time_ns
        position, size = 0, len(data)
        while position < size:
            if flow.lost:
                return self._pass_lost(side, flow, size - position, time_ns)
            if flow.body is not None:
                position = self._take_body(side, flow, data, position, time_ns)
            elif self._successor is not None:
                self._waiting.add_finished(self._successor.feed(side, data[position:], time_ns))
                return None
            else:
                position = self._take_head(side, flow, data, position, time_ns)
            if not flow.buffer:
                flow.searched, flow.since = 0, time_ns
        return None

    def _take_turn(self, side: Side, flow: _Flow) -> None:
        """The other side spoke before: this is where a side that was lost is found again."""
        if flow.lost:
            flow.lost, flow.unproven, flow.exchange = False, True, None
        if side is Side.CLIENT:
            if self._server.lost and self._server.exchange is not None:
                self._finish_answer(self._server.exchange)  # of unknown extent: ends where the next request begins
                self._server.exchange = None
            self._waiting.close_gap()
        self._unsettled = self._client.lost or self._server.lost or self._waiting.has_gap()

    def _pass_lost(self, side: Side, flow: _Flow, size: int, time_ns: int) -> None:
        if flow.exchange is not None:
            flow.exchange.pass_bytes(side, size, time_ns)

    def _take_head(self, side: Side, flow: _Flow, data: bytes, position: int, time_ns: int) -> int:
        """The position behind the head at `position`; the same position when the side is lost at it."""
        if data[position] in b"\r\n":  # RFC 9112, 2.2: empty lines before a message
            return len(data) - len(data[position:].lstrip(b"\r\n"))
        end = find_head_end(data, position, flow.searched)
        if end < 0 or end - position > self._head_limit:
            return self._keep_beginning(side, flow, data, position)
        head = data if end - position == len(data) else data[position:end]
        if flow.unproven and not (recognise(side, head) is Evidence.YES and has_regular_lines(head)):
            return self._leave(side, "unreadable", position)
        flow.unproven = False
        if side:
            return self._take_answer(flow, head, data, position, time_ns)
        return self._take_request(flow, head, position, time_ns)

    def _keep_beginning(self, side: Side, flow: _Flow, data: bytes, position: int) -> int:
        beginning = data[position : position + self._head_limit]
        if not may_begin(side, beginning) or (flow.unproven and recognise(side, beginning) is Evidence.NO):
            return self._leave(side, "unreadable", position)
        if len(data) - position > self._head_limit:
            self._read_cut_head(side, beginning, 0)
            return self._leave(side, "overlong_head", position)
        flow.buffer = beginning
        return len(data)

    def _take_request(self, flow: _Flow, head: bytes, position: int, time_ns: int) -> int:
        parsed = HEADS.request_head(head)
        if parsed is None:
            return self._leave(Side.CLIENT, "unreadable", position)
        exchange = Exchange(parsed, flow.since, time_ns, len(head))
        self._waiting.add(exchange)
        body = parsed.body
        if body == 0:
            exchange.asked = True
        elif body == UNKNOWN_EXTENT:
            flow.exchange = exchange
            self._leave(Side.CLIENT, "contradictory_length")
        else:
            flow.exchange = exchange
            flow.body = ChunkedBody() if body == CHUNKED else CountedBody(body)
        if len(self._waiting) > WAITING_MAX:
            self._leave(Side.SERVER, "too_many_waiting")
        return position + len(head)

    def _take_answer(self, flow: _Flow, head: bytes, data: bytes, position: int, time_ns: int) -> int:
        parsed = HEADS.response_head(head)
        if parsed is None:
            return self._leave(Side.SERVER, "unreadable", position)
        exchange = self._exchange_to_answer()
        if exchange is None:
            return self._leave(Side.SERVER, "answer_without_request", position)
        exchange.pass_bytes(Side.SERVER, len(head), time_ns)
        end = position + len(head)
        if parsed.status < 200 and parsed.status != 101:
            exchange.interim = True
            return end
        exchange.status, exchange.answer_started = parsed.status, flow.since
        if parsed.status == 101 or (exchange.head.method == "CONNECT" and parsed.status < 300):
            self._upgrade(exchange, parsed, time_ns)
        elif exchange.head.method == "HEAD" or parsed.status in (204, 304) or parsed.body == 0:
            self._finish_answer(exchange)
        elif 0 < parsed.body <= len(data) - end:  # the usual answer, without the state of a body
            exchange.body[1] = parsed.body
            exchange.bytes[1] += parsed.body
            self._finish_answer(exchange)
            end += parsed.body
        else:
            self._begin_answer_body(flow, exchange, parsed.body)
        return end

    def _begin_answer_body(self, flow: _Flow, exchange: Exchange, body: int) -> None:
        flow.exchange = exchange
        if body == UNKNOWN_EXTENT:
            self._leave(Side.SERVER, "contradictory_length")
        elif body == CHUNKED:
            flow.body = ChunkedBody()
        else:
            flow.body = CountedBody(None if body == UNTIL_CLOSE else body)

    def _exchange_to_answer(self) -> Exchange | None:
        """None when it is not certain whose answer comes."""
        if self._client.buffer and not len(self._waiting):  # answered before the request's head was whole: 400, 408, 414, 431
            self._read_cut_head(Side.CLIENT, self._client.buffer, len(self._client.buffer))
            self._leave(Side.CLIENT, "answered_before_its_head")
        return self._waiting.first_unanswered()

    def _take_body(self, side: Side, flow: _Flow, data: bytes, position: int, time_ns: int) -> int:
        body, exchange = flow.body, flow.exchange
        assert body is not None and exchange is not None
        end = body.take(data, position)
        exchange.pass_bytes(side, end - position, time_ns)
        exchange.body[side] = body.size
        if body.ended:
            self._end_body(side, flow, exchange)
        elif body.broken:
            self._leave(side, "broken_chunk")
        return end

    def _end_body(self, side: Side, flow: _Flow, exchange: Exchange) -> None:
        flow.body = flow.exchange = None
        if side:
            self._finish_answer(exchange)
        else:
            exchange.asked = True
            if exchange.answered:
                self._waiting.emit(exchange)

    def _finish_answer(self, exchange: Exchange) -> None:
        exchange.answered = True
        if not exchange.asked and exchange.may_keep_body():
            self._client.body = self._client.exchange = None
            self._client.lost = self._unsettled = exchange.asked = True
        if exchange.asked:
            self._waiting.emit(exchange)

    def _leave(self, side: Side, reason: str, position: int = 0) -> int:
        """Drops this side until its next turn. A message whose head was read goes on (`flow.exchange`), its extent unknown."""
        self._count(reason)
        flow = self._server if side else self._client
        flow.buffer, flow.body = b"", None
        flow.lost = self._unsettled = True
        exchange = flow.exchange
        if exchange is not None:
            exchange.body[side] = -1
        if side:
            self._waiting.flush(Outcome.UNKNOWN, kept=exchange)
        elif exchange is not None and not exchange.asked:
            exchange.asked = True
            if exchange.answered:
                self._waiting.emit(exchange)
        self._waiting.add_gap()
        return position

    def _pass_unseen(self, side: Side, size: int, time_ns: int) -> None:
        flow = self._server if side else self._client
        if side is not self._turn:
            self._turn = side
            if self._unsettled:
                self._take_turn(side, flow)
        if flow.body is not None and flow.exchange is not None:
            beyond = flow.body.skip(size)
            flow.exchange.pass_bytes(side, size - max(beyond, 0), time_ns)
            flow.exchange.body[side] = flow.body.size
            if flow.body.ended:
                self._end_body(side, flow, flow.exchange)
            if beyond:
                self._leave(side, "unseen_head" if beyond > 0 else "unseen_chunk_size")
        elif not flow.lost:
            size += len(flow.buffer)
            if flow.buffer:
                self._read_cut_head(side, flow.buffer, 0)
            self._leave(side, "unseen_head")
            self._pass_lost(side, flow, size, time_ns)
        else:
            self._pass_lost(side, flow, size, time_ns)

    def _read_cut_head(self, side: Side, head: bytes, size: int) -> None:
        """What the beginning of a head tells; the message is of unknown extent then. size: bytes to count for it now."""
        flow = self._server if side else self._client
        if flow.unproven and recognise(side, head) is not Evidence.YES:
            return
        if side:
            answer = read_response_head(head)
            exchange = self._exchange_to_answer() if answer is not None and answer.status >= 200 else None
            if answer is not None and exchange is not None:
                exchange.status, exchange.answer_started = answer.status, flow.since
                flow.exchange = exchange
            return
        request = read_request_head(head)
        if request is not None:
            request = request._replace(path="" if request.path_is_cut else request.path)
            flow.exchange = Exchange(request, flow.since, flow.since, size)
            self._waiting.add(flow.exchange)

    def _upgrade(self, exchange: Exchange, answer: ResponseHead, time_ns: int) -> None:
        """101 or an accepted CONNECT: another protocol from the next byte on."""
        exchange.asked = exchange.answered = True
        if answer.upgrade == "h2c":
            self._waiting.drop(exchange)
            self._successor = Http2Conversation(self._scheme, self.discarded, exchange)
        else:
            self._waiting.emit(exchange)
            upgrade = None
            if answer.upgrade == "websocket":
                attributes = http_attributes(exchange.head, self._scheme, 0)
                upgrade = Upgrade(exchange.head.path, time_ns, exchange.head.trace_parent, attributes)
            self._successor = OpaqueConversation(upgrade, self.discarded)
        self._waiting.flush(Outcome.UNKNOWN)
        if self._client.buffer:
            self._waiting.add_finished(self._successor.feed(Side.CLIENT, self._client.buffer, time_ns))
        self._client, self._server = _Flow(), _Flow()
        self._server.lost = False  # what follows the head is the successor's

    def _end_answer(self) -> None:
        exchange = self._server.exchange
        if exchange is None:
            return
        body = self._server.body
        if body is not None and not body.until_close:
            self._count("answer_cut_short")
        exchange.answered = True
        self._waiting.emit(exchange)
