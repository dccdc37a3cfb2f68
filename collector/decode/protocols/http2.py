"""HTTP/2 (RFC 9113) and gRPC on it: the streams of one connection, and which request each of them was.

Joined in the middle, a connection's streams are read as far as its header tables are known (see hpack.py): the rest is
left empty. After lost bytes a stream keeps its number, so an answer never goes to another request.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.decode.protocols.grpc import is_grpc_message
from collector.decode.protocols.hpack import HeaderBlock, HpackDecoder
from collector.decode.protocols.http1_exchange import Exchange
from collector.decode.protocols.http2_frames import PREFACE, STALE, Frame, FrameReader, HeaderFrames
from collector.decode.protocols.http2_search import FRAME_HEADER_BYTES, PADDED, weigh_frames
from collector.decode.protocols.http2_stream import GRPC, MAYBE_GRPC, NOT_GRPC, READING, Stream, is_trailer
from collector.decode.protocols.http_semantics import HEAD_LIMIT
from collector.decode.request import Evidence, Outcome, Request, Side

STREAMS_MAX = 1024  # open at one time


def recognise(side: Side, data: bytes) -> Evidence:
    """YES for the preface, and for frames that prove each other: a connection older than the agent."""
    if side is Side.CLIENT and data[: len(PREFACE)] == PREFACE[: len(data)]:
        return Evidence.YES if len(data) >= len(PREFACE) else Evidence.MAYBE
    if data[:1] not in (b"", b"\0"):
        return Evidence.NO  # a first frame of 64 KiB and more
    return weigh_frames(data, 0, side is Side.CLIENT)[0]


class Http2Conversation:
    """One connection, also joined while it is in use. scheme: when :scheme is not known. See `Conversation`.

    discarded: a count to go on with. upgraded: the HTTP/1 request that asked for the change to h2c; its answer is stream 1.
    """

    opaque = False

    def __init__(
        self,
        scheme: str = "http",
        discarded: dict[str, int] | None = None,
        upgraded: Exchange | None = None,
        head_limit: int = HEAD_LIMIT,
    ) -> None:
        self.discarded: dict[str, int] = {} if discarded is None else discarded
        self._scheme = scheme
        self._readers = (FrameReader(Side.CLIENT, self, head_limit), FrameReader(Side.SERVER, self, head_limit))
        self._tables = (HpackDecoder(READING), HpackDecoder(READING))
        self._streams: dict[int, Stream] = {}
        self._newest = [0, 0]  # stream opened by each side
        self._usual_kind = MAYBE_GRPC  # GRPC when all streams that could be told were calls: then the others are, too
        self._finished: list[Request] = []
        if upgraded is not None:
            self._open_upgraded(upgraded)

    def feed(self, side: Side, data: bytes, time_ns: int) -> Sequence[Request]:
        """See `Conversation`."""
        self._readers[side].feed(data, time_ns)
        return self._take_finished()

    def skip(self, side: Side, size: int, time_ns: int) -> Sequence[Request]:
        """See `Conversation`. Stays in step within the payload of any frame; one that holds headers costs the header table."""
        if size > 0:
            self._readers[side].skip(size, time_ns)
        return self._take_finished()

    def lose(self, side: Side) -> None:
        """See `Conversation`. Streams stay open: their numbers tell whose the later frames are."""
        self._readers[side].lose("lost")

    def end(self, time_ns: int) -> Sequence[Request]:
        """See `Conversation`."""
        for number in list(self._streams):
            self._finish(number, Outcome.UNANSWERED)
        return self._take_finished()

    def _take_finished(self) -> Sequence[Request]:
        if not self._finished:
            return ()
        finished, self._finished = self._finished, []
        return finished

    def _count(self, reason: str) -> None:
        self.discarded[reason] = self.discarded.get(reason, 0) + 1

    def _open(self, number: int, started: int) -> Stream:
        if len(self._streams) >= STREAMS_MAX:
            self._count("too_many_streams")
            self._finish(next(iter(self._streams)), Outcome.UNKNOWN)
        stream = self._streams[number] = Stream(started, self._scheme)
        stream.missed = self._readers[Side.SERVER].is_searching
        return stream

    def _open_upgraded(self, asked: Exchange) -> None:
        head = asked.head
        stream = self._open(1, asked.started)
        stream.method, stream.method_original, stream.path = head.method, head.method_original, head.path
        stream.server, stream.trace_parent = head.server, head.trace_parent
        stream.kind, stream.asked = NOT_GRPC, True
        stream.bytes, stream.ended = [*asked.bytes], [asked.ended[0], 0]
        stream.body[0] = asked.body[0]
        self._newest[Side.CLIENT] = 1

    def _finish(self, number: int, outcome: Outcome | None = None) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        if stream.kind == MAYBE_GRPC:
            stream.kind = self._usual_kind
        elif self._usual_kind != stream.kind:
            self._usual_kind = stream.kind if self._usual_kind == MAYBE_GRPC else NOT_GRPC
        self._finished.append(stream.request(outcome))

    def join(self, side: Side) -> None:
        """That side is not read from its beginning (called by its reader); when it is the client's, neither is the server's."""
        self._tables[side].forget()
        if side is Side.CLIENT:
            self._tables[Side.SERVER].forget()
            if self._readers[Side.SERVER].at_beginning:
                self._readers[Side.SERVER].search()

    def miss(self, side: Side, reason: str) -> None:
        """Frames of that side are missing (called by its reader)."""
        self._count(reason)
        self._tables[side].forget()
        self._newest[side] = 0  # frames found at a wrong place must not hide all later requests
        for stream in self._streams.values():
            stream.missed = True
            stream.body[side] = -1

    def take_headers(self, side: Side, headers: HeaderFrames) -> None:
        """A whole header block (called by the reader of that side)."""
        block = None if headers.content is None else self._tables[side].decode(headers.content)
        if block is None:
            self._count("unreadable_headers")
            self._tables[side].forget()
        if headers.started == STALE:
            return
        if side is Side.CLIENT:
            self._take_request(headers, block)
        elif headers.promised:
            self._take_promise(headers, block)
        else:
            self._take_answer(headers, block)

    def _take_request(self, headers: HeaderFrames, block: HeaderBlock | None) -> None:
        """The head of a request, or trailers."""
        number = headers.stream
        stream = self._streams.get(number)
        if stream is None:
            if number <= self._newest[Side.CLIENT] or number % 2 == 0 or is_trailer(block):
                return  # of a stream that is finished, or older than the agent
            self._newest[Side.CLIENT] = number
            stream = self._open(number, headers.started)
            stream.read_request(block)
        stream.pass_bytes(Side.CLIENT, headers.wire_bytes, headers.ended)
        if headers.ends_stream:
            stream.asked = True

    def _take_promise(self, headers: HeaderFrames, block: HeaderBlock | None) -> None:
        """What the server asks itself on the client's behalf (RFC 9113, 8.4)."""
        number = headers.promised
        if number % 2 or number <= self._newest[Side.SERVER]:
            return
        self._newest[Side.SERVER] = number
        stream = self._open(number, headers.started)
        stream.read_request(block)
        stream.asked = True
        stream.ended[Side.CLIENT] = headers.ended

    def _take_answer(self, headers: HeaderFrames, block: HeaderBlock | None) -> None:
        """Interim answer, head of the answer, or trailers."""
        number = headers.stream
        stream = self._streams.get(number)
        if stream is None:
            if number > self._newest[(number + 1) % 2]:
                self._count("answer_without_request")
            return
        stream.read_answer(block, headers.started)
        stream.pass_bytes(Side.SERVER, headers.wire_bytes, headers.ended)
        is_tunnel = stream.method == "CONNECT" and 200 <= stream.status < 300
        if headers.ends_stream or is_tunnel:
            self._finish(number)

    def take_data(self, side: Side, frame: Frame, beginning: bytes) -> None:
        """The beginning of a DATA frame (called by the reader of that side); b'' when it was not seen."""
        stream = self._streams.get(frame.stream)
        if stream is None or frame.since == STALE:
            return
        stream.pass_bytes(side, FRAME_HEADER_BYTES + frame.size, frame.since)
        is_padded = frame.flags & PADDED != 0
        if stream.kind == MAYBE_GRPC and stream.body[side] == 0 and is_grpc_message(beginning, is_padded, frame.size):
            stream.kind = GRPC
        if stream.body[side] < 0 or (is_padded and not beginning):
            stream.body[side] = -1
        else:
            stream.body[side] += frame.size - (1 + beginning[0] if is_padded else 0)

    def end_stream(self, side: Side, stream: int, time_ns: int) -> None:
        """The last byte of a DATA frame with END_STREAM. The answer's end ends the request, whatever else is still sent."""
        found = self._streams.get(stream)
        if found is None:
            return
        found.ended[side] = time_ns
        if side is Side.CLIENT:
            found.asked = True
        else:
            self._finish(stream)

    def reset_stream(self, side: Side, stream: int, code: int, time_ns: int) -> None:
        """RST_STREAM."""
        found = self._streams.get(stream)
        if found is not None:
            found.reset_by, found.reset_code = side, code
            self._finish(stream)

    def go_away(self, side: Side, last_stream: int, time_ns: int) -> None:
        """GOAWAY of the server: what is newer than `last_stream` was not looked at (RFC 9113, 6.8)."""
        if side is Side.SERVER:
            for number in [one for one in self._streams if one % 2 and one > last_stream]:
                self._finish(number, Outcome.UNANSWERED)
