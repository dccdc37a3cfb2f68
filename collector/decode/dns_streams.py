"""DNS over TCP: messages with a length in front (RFC 1035, 4.2.2), put together from pieces of segments."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

PREFIX_BYTES = 2
SHORTEST_MESSAGE = 12  # a header
MESSAGE_BYTES_MAX = 4096  # collected of one message
STREAMS_MAX = 1024
EARLY_PIECES_MAX = 8  # of one stream, which came before what they follow
SEQUENCES = 1 << 32


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of one direction of a connection. length: bytes of the stream it stands for; content: those of them, from the
    first on, that were captured."""

    sequence: int
    length: int
    content: bytes


@dataclass(slots=True)
class Stream:
    """One direction of one connection.

    expected: sequence number of the next byte. buffer: the message that is being collected, its prefix included.
    skip: bytes to come of a message that was given out already, because not all of it is captured or collected.
    """

    expected: int
    buffer: bytearray = field(default_factory=bytearray)
    skip: int = 0
    early: list[Piece] = field(default_factory=list)


class StreamTable:
    """Streams by connection and direction; at STREAMS_MAX the one longest unused goes.

    lost: how often message boundaries were lost (a gap, too much out of order, a length no message has); reading starts
    again with the next piece. forgotten: streams that went with an unfinished message.
    """

    def __init__(self) -> None:
        self._streams: OrderedDict[bytes, Stream] = OrderedDict()
        self.lost = 0
        self.forgotten = 0

    def add(self, key: bytes, piece: Piece) -> list[bytes]:
        """Messages, without prefix, that end with this piece, in order; one of which not all is captured is given out as
        far as it is.

        An unknown stream starts at a message boundary: true for connections seen from their start, and nearly always
        for others (a message is rarely more than a segment).
        """
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(piece.sequence)
            self._make_room()
        self._streams.move_to_end(key)
        self._queue(stream, piece)
        messages: list[bytes] = []
        while (following := self._next_in_order(stream)) is not None:
            messages += self._consume(stream, following)
        return messages

    def _make_room(self) -> None:
        while len(self._streams) > STREAMS_MAX:
            _, oldest = self._streams.popitem(last=False)
            self.forgotten += bool(oldest.buffer or oldest.early)

    def _queue(self, stream: Stream, piece: Piece) -> None:
        """Holds the piece until what it follows is there; when too many wait, what is missing never comes."""
        stream.early.append(piece)
        if len(stream.early) > EARLY_PIECES_MAX:
            nearest = min(stream.early, key=lambda held: _ahead(held.sequence, stream.expected))
            self._restart(stream, nearest.sequence)

    def _restart(self, stream: Stream, sequence: int) -> None:
        self.lost += 1
        stream.expected = sequence
        stream.buffer.clear()
        stream.skip = 0

    def _next_in_order(self, stream: Stream) -> Piece | None:
        """Takes the held piece with the next byte, without the bytes already known; retransmissions are dropped."""
        for index, piece in enumerate(stream.early):
            ahead = _ahead(piece.sequence, stream.expected)
            if ahead > 0:
                continue
            del stream.early[index]
            known = -ahead
            if known >= piece.length:
                return self._next_in_order(stream)
            return Piece(stream.expected, piece.length - known, piece.content[known:])
        return None

    def _consume(self, stream: Stream, piece: Piece) -> list[bytes]:
        stream.expected = (piece.sequence + piece.length) % SEQUENCES
        skipped = min(stream.skip, len(piece.content))
        stream.skip -= skipped
        stream.buffer += piece.content[skipped:]
        messages = self._split(stream)
        return messages + self._step_over(stream, piece.length - len(piece.content))

    def _split(self, stream: Stream) -> list[bytes]:
        """Takes finished messages out of the buffer, and the start of one that is too long to be collected."""
        messages: list[bytes] = []
        while len(stream.buffer) >= PREFIX_BYTES:
            size = int.from_bytes(stream.buffer[:PREFIX_BYTES], "big")
            end = PREFIX_BYTES + size
            if size < SHORTEST_MESSAGE:
                self._restart(stream, stream.expected)
            elif len(stream.buffer) >= end or len(stream.buffer) >= MESSAGE_BYTES_MAX:
                messages.append(bytes(stream.buffer[PREFIX_BYTES:end]))
                stream.skip = max(end - len(stream.buffer), 0)
                del stream.buffer[:end]
            else:
                break
        return messages

    def _step_over(self, stream: Stream, hole: int) -> list[bytes]:
        """Goes on behind bytes that were not captured; the message they begin or cut is given out as far as it is there."""
        skipped = min(stream.skip, hole)
        stream.skip -= skipped
        hole -= skipped
        if hole == 0:
            return []
        if len(stream.buffer) < PREFIX_BYTES:
            self._restart(stream, stream.expected)
            return []
        missing = PREFIX_BYTES + int.from_bytes(stream.buffer[:PREFIX_BYTES], "big") - len(stream.buffer)
        cut = bytes(stream.buffer[PREFIX_BYTES:])
        stream.buffer.clear()
        if missing < hole:
            self._restart(stream, stream.expected)
        else:
            stream.skip = missing - hole
        return [cut]


def _ahead(sequence: int, expected: int) -> int:
    """How far `sequence` is ahead of `expected`; negative when behind."""
    return (sequence - expected + SEQUENCES // 2) % SEQUENCES - SEQUENCES // 2
