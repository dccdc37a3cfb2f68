"""Frames of HTTP/2 (RFC 9113, 4 and 6): one direction of a connection, cut into what its streams need to know.

Payloads of DATA go by unseen but for their first bytes; a header block is kept until it is whole, within a limit. A
direction that is not read from its beginning is searched for a place where frames certainly begin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from collector.decode.protocols.http2_search import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    find_frames,
    remove_padding,
    remove_priority,
)
from collector.decode.protocols.http_semantics import HEAD_LIMIT
from collector.decode.request import Side

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PEEK_BYTES = 6  # of DATA: pad length and the prefix of a gRPC message
KEPT_WHOLE = frozenset((HEADERS, RST_STREAM, PUSH_PROMISE, GOAWAY, CONTINUATION))
SIZES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
UNSEEN_CODE = -1
STALE = -1  # `since` of a frame that was recognised so late that its time is not known: only its header fields are learned


@dataclass(slots=True)
class HeaderFrames:
    """HEADERS or PUSH_PROMISE with its CONTINUATIONs. content: None when it was not seen whole. wire_bytes: all frames."""

    stream: int
    promised: int  # stream, 0: not a promise
    ends_stream: bool
    content: bytes | None
    wire_bytes: int
    started: int
    ended: int = 0


class Frame(NamedTuple):
    """The header of a frame, and when its first byte came."""

    kind: int
    flags: int
    stream: int
    size: int
    since: int


class FrameEvents(Protocol):
    """Who is told what the frames of one side say, in their order."""

    def take_headers(self, side: Side, headers: HeaderFrames) -> None: ...
    def take_data(self, side: Side, frame: Frame, beginning: bytes) -> None: ...
    def end_stream(self, side: Side, stream: int, time_ns: int) -> None: ...
    def reset_stream(self, side: Side, stream: int, code: int, time_ns: int) -> None: ...
    def go_away(self, side: Side, last_stream: int, time_ns: int) -> None: ...
    def join(self, side: Side) -> None: ...
    def miss(self, side: Side, reason: str) -> None: ...


class FrameReader:
    """One direction. Every payload of at most `head_limit` bytes is kept, if at all."""

    def __init__(self, side: Side, events: FrameEvents, head_limit: int = HEAD_LIMIT) -> None:
        self._side = side
        self._events = events
        self._head_limit = head_limit
        self._read: Callable[[bytes, int, int], int] = self._read_server_preface if side else self._read_preface
        self._buffer = b""
        self._since = 0
        self._buffered_at = 0
        self._stale_bytes = 0  # at the beginning of the buffer, while frames are searched for
        self._left = 0  # of the payload that goes by
        self._frame = Frame(DATA, 0, 0, 0, 0)
        self._headers: HeaderFrames | None = None

    @property
    def at_beginning(self) -> bool:
        """No byte, or not enough for the preface, came yet."""
        return self._read in (self._read_preface, self._read_server_preface)

    @property
    def is_searching(self) -> bool:
        """Frames go by unread."""
        return self._read == self._search_frames

    def feed(self, data: bytes, time_ns: int) -> None:
        """The next bytes."""
        if self._buffer:
            if self.is_searching and self._buffered_at != time_ns:
                self._stale_bytes = len(self._buffer)
            data = self._buffer + data
            self._buffer = b""
        else:
            self._since = time_ns
        position, size = 0, len(data)
        while position < size:
            if self._left:
                position += self._pass(min(self._left, size - position), time_ns)
            else:
                behind = self._read(data, position, time_ns)
                if behind < 0:
                    self._buffer, self._buffered_at = data[position:], time_ns
                    self._stale_bytes = max(0, self._stale_bytes - position)
                    return
                position = behind
            self._since = STALE if position < self._stale_bytes else time_ns
        self._stale_bytes = 0

    def skip(self, size: int, time_ns: int) -> None:
        """Unseen bytes: in step while they end within the payload of the frame that has begun."""
        if self._read != self._read_frame:
            self.search()
            return
        if len(self._buffer) >= FRAME_HEADER_BYTES:
            seen = len(self._buffer) - FRAME_HEADER_BYTES
            frame = self._frame_at(self._buffer, 0)
            self._buffer = b""
            self._begin_payload(frame, b"", time_ns)
            self._left -= seen
        if self._buffer or size > self._left:
            self._pass(self._left, time_ns)
            self.lose("unseen_frame")
        else:
            self._pass(size, time_ns)

    def search(self) -> None:
        """Frames begin anywhere; what came before is not to be had."""
        self._buffer, self._left, self._headers, self._stale_bytes = b"", 0, None, 0
        if self.at_beginning:
            self._events.join(self._side)
        self._read = self._search_frames

    def lose(self, reason: str) -> None:
        """Bytes are missing or cannot be frames."""
        self._events.miss(self._side, reason)
        self.search()

    def _read_preface(self, data: bytes, position: int, _time_ns: int) -> int:
        """RFC 9113, 3.4. A client's side without it is older than the agent."""
        beginning = data[position : position + len(PREFACE)]
        if not PREFACE.startswith(beginning):
            self.search()
            return position
        if len(beginning) < len(PREFACE):
            return -1
        self._read = self._read_frame
        return position + len(PREFACE)

    def _read_server_preface(self, data: bytes, position: int, _time_ns: int) -> int:
        """It is a SETTINGS frame."""
        if len(data) - position < FRAME_HEADER_BYTES:
            return -1
        frame = self._frame_at(data, position)
        if frame.kind == SETTINGS and frame.flags == frame.stream == 0 and frame.size <= 1024:
            self._read = self._read_frame
        else:
            self.search()
        return position

    def _search_frames(self, data: bytes, position: int, _time_ns: int) -> int:
        found, is_certain = find_frames(data, position, self._side is Side.CLIENT)
        if is_certain:
            self._read = self._read_frame
        elif found == position:
            return -1
        return found

    def _frame_at(self, data: bytes, position: int) -> Frame:
        word, flags, stream = FRAME_HEADER.unpack_from(data, position)
        return Frame(word & 0xFF, flags, stream & 0x7FFFFFFF, word >> 8, self._since)

    def _read_frame(self, data: bytes, position: int, time_ns: int) -> int:
        payload = position + FRAME_HEADER_BYTES
        available = len(data) - payload
        if available < 0:
            return -1
        frame = self._frame_at(data, position)
        kind, _, _, size, _ = frame
        if (self._headers is None) == (kind == CONTINUATION):
            self.lose("unexpected_frame")
            return position
        if SIZES.get(kind, size) != size:
            self.lose("malformed_frame")
            return position
        if kind in KEPT_WHOLE and size <= self._head_limit:
            if available < size:
                return -1
            self._take_whole(frame, data[payload : payload + size], time_ns)
            return payload + size
        peek = min(size, PEEK_BYTES) if kind == DATA else 0
        if available < peek:
            return -1
        self._begin_payload(frame, data[payload : payload + peek], time_ns)
        return payload

    def _begin_payload(self, frame: Frame, beginning: bytes, time_ns: int) -> None:
        """Its payload goes by, but for the beginning of DATA."""
        self._frame = frame
        self._left = frame.size
        if frame.kind == DATA:
            self._events.take_data(self._side, frame, beginning)
            if not frame.size:
                self._end_payload(time_ns)

    def _pass(self, size: int, time_ns: int) -> int:
        if size:
            self._left -= size
            if not self._left:
                self._end_payload(time_ns)
        return size

    def _end_payload(self, time_ns: int) -> None:
        frame = self._frame
        if frame.kind == DATA:
            if frame.flags & END_STREAM and frame.since != STALE:
                self._events.end_stream(self._side, frame.stream, time_ns)
        elif frame.kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
            self._take_fragment(frame, None, time_ns)
        elif frame.kind == RST_STREAM and frame.since != STALE:
            self._events.reset_stream(self._side, frame.stream, UNSEEN_CODE, time_ns)

    def _take_whole(self, frame: Frame, payload: bytes, time_ns: int) -> None:
        if frame.kind not in (RST_STREAM, GOAWAY):
            self._take_fragment(frame, payload, time_ns)
        elif frame.since == STALE:
            return
        elif frame.kind == RST_STREAM:
            self._events.reset_stream(self._side, frame.stream, int.from_bytes(payload, "big"), time_ns)
        else:
            self._events.go_away(self._side, int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, time_ns)

    def _take_fragment(self, frame: Frame, payload: bytes | None, time_ns: int) -> None:
        """Of a header block; None: it was not seen, or is longer than what is kept."""
        headers = self._headers
        wire_bytes = FRAME_HEADER_BYTES + frame.size
        if headers is None:
            headers = self._begin_headers(frame, payload, wire_bytes)
        elif headers.stream != frame.stream:
            self.lose("unexpected_frame")
            return
        else:
            headers.wire_bytes += wire_bytes
            seen = headers.content
            headers.content = seen + payload if seen is not None and payload is not None else None
        if headers.content is not None and len(headers.content) > self._head_limit:
            headers.content = None
        self._headers = headers
        if frame.flags & END_HEADERS:
            self._headers = None
            headers.ended = time_ns
            self._events.take_headers(self._side, headers)

    def _begin_headers(self, frame: Frame, payload: bytes | None, wire_bytes: int) -> HeaderFrames:
        promised = 0
        content = None if payload is None else remove_padding(payload, frame.flags & PADDED)
        if frame.kind == PUSH_PROMISE:
            promised = int.from_bytes((content or b"")[:4], "big") & 0x7FFFFFFF
            content = None if content is None else content[4:]
        elif content is not None:
            content = remove_priority(content, frame.flags)
        ends_stream = bool(frame.flags & END_STREAM) and frame.kind == HEADERS
        return HeaderFrames(frame.stream, promised, ends_stream, content, wire_bytes, frame.since)
