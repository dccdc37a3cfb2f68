"""One direction of a TCP connection: segments in any order, twice or cut, become runs of bytes in order.

What was seen first wins over what a later segment says of the same bytes. A hole is passed over when the other end
acknowledged what lies in it (it was there, the capture missed it), or when too much waits behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

SEQUENCES = 1 << 32
HELD_BYTES_MAX = 1 << 20  # behind a hole, of one direction
HELD_PIECES_MAX = 512
HELD_BYTES_OF_ALL = 64 << 20
HOLE_MAX = 16 << 20  # a wider jump is another connection between the same ports, or nonsense
LOST = -1


class Run(NamedTuple):
    """Bytes that are next, and how many behind them were not seen: LOST when nobody knows."""

    data: bytes
    unseen: int


class Piece(NamedTuple):
    """data: what was captured of the `size` bytes from `start` on."""

    start: int
    data: bytes
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size

    def between(self, start: int, end: int) -> Piece:
        offset = start - self.start
        return Piece(start, self.data[offset : offset + end - start], end - start)


@dataclass(slots=True)
class StreamBooks:
    """Of all streams together. counts: what was left out, by reason."""

    held_bytes: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class HalfStream:
    """Positions are sequence numbers that go on past 2**32. expected: of the next byte, None before the first segment."""

    __slots__ = ("_books", "_held", "_held_bytes", "end", "expected")

    def __init__(self, books: StreamBooks) -> None:
        self._books = books
        self._held: list[Piece] = []  # by start, without overlaps
        self._held_bytes = 0
        self.expected: int | None = None
        self.end: int | None = None  # where FIN stands

    @property
    def ended(self) -> bool:
        """All up to FIN went by."""
        return self.end is not None and self.expected is not None and self.expected >= self.end

    def add(self, sequence: int, data: bytes, size: int) -> list[Run]:
        """`data`: what was captured of `size` bytes. What is in order now."""
        start = self._position(sequence)
        if size <= 0:
            return []
        before: list[Run] = []
        if abs(start - self._next()) > HOLE_MAX:
            before = self._restart(start)
        known = self._next() - start
        if known > 0:
            self._books.counts["retransmitted_bytes"] += min(known, size)
            if known >= size:
                return before
            start, data, size = start + known, data[known:], size - known
        piece = Piece(start, data[:size], size)
        if not self._held and start == self._next():
            return [*before, self._pass(piece)]
        self._hold(piece)
        return [*before, *self._release(), *self._relieve()]

    def finish(self, sequence: int) -> None:
        """FIN stands at `sequence`. The first that is near what was seen counts."""
        position = self._position(sequence)
        if self.end is None and abs(position - self._next()) <= HOLE_MAX:
            self.end = position

    def acknowledge(self, sequence: int) -> list[Run]:
        """The other end has all before `sequence`: what of it is not here was missed by the capture."""
        if self.expected is None:
            return []
        position = self._position(sequence)
        if self.end is not None:
            position = min(position, self.end)
        if position - self.expected > HOLE_MAX:
            return self._restart(position)
        runs: list[Run] = []
        while self.expected < position:
            first = self._held[0].start if self._held else position
            runs += self._pass_hole(min(first, position))
        return runs

    def flush(self) -> list[Run]:
        """Nothing comes any more: what waits, with the holes before it."""
        runs: list[Run] = []
        while self._held:
            runs += self._pass_hole(self._held[0].start)
        return runs

    def forget(self) -> None:
        """What waits is dropped."""
        self._books.held_bytes -= self._held_bytes
        self._held, self._held_bytes = [], 0

    def _next(self) -> int:
        return self.expected or 0

    def _position(self, sequence: int) -> int:
        if self.expected is None:
            self.expected = sequence % SEQUENCES + SEQUENCES
        ahead = (sequence - self.expected + SEQUENCES // 2) % SEQUENCES - SEQUENCES // 2
        return self.expected + ahead

    def _restart(self, position: int) -> list[Run]:
        self._books.counts["restarted_streams"] += 1
        self.forget()
        self.expected, self.end = position, None
        return [Run(b"", LOST)]

    def _pass(self, piece: Piece) -> Run:
        self.expected = piece.end
        unseen = piece.size - len(piece.data)
        self._books.counts["cut_bytes"] += unseen
        return Run(piece.data, unseen)

    def _pass_hole(self, end: int) -> list[Run]:
        size = end - self._next()
        self._books.counts["holes"] += 1
        self._books.counts["hole_bytes"] += size
        self.expected = end
        return [Run(b"", size), *self._release()]

    def _hold(self, piece: Piece) -> None:
        """Puts what is new of it where it belongs."""
        index = bisect_right(self._held, piece.start, key=lambda held: held.start)
        start = max(piece.start, self._held[index - 1].end) if index else piece.start
        repeated = piece.size
        while start < piece.end:
            end = min(piece.end, self._held[index].start) if index < len(self._held) else piece.end
            if end > start:
                self._held.insert(index, piece.between(start, end))
                self._count_held(len(self._held[index].data))
                repeated -= end - start
                index += 1
            start = self._held[index].end if index < len(self._held) else piece.end
            index += 1
        self._books.counts["retransmitted_bytes"] += repeated

    def _count_held(self, size: int) -> None:
        self._held_bytes += size
        self._books.held_bytes += size

    def _release(self) -> list[Run]:
        count = 0
        runs = []
        for piece in self._held:
            if piece.start != self.expected:
                break
            self._count_held(-len(piece.data))
            runs.append(self._pass(piece))
            count += 1
        del self._held[:count]
        return runs

    def _relieve(self) -> list[Run]:
        """Passes over holes while more waits than there is room for."""
        runs: list[Run] = []
        while self._held and self._is_over_the_limit():
            runs += self._pass_hole(self._held[0].start)
        return runs

    def _is_over_the_limit(self) -> bool:
        too_many = len(self._held) > HELD_PIECES_MAX or self._held_bytes > HELD_BYTES_MAX
        return too_many or self._books.held_bytes > HELD_BYTES_OF_ALL
