"""Bodies of HTTP/1 messages: where they end. Nothing of a body is kept, whatever its length (RFC 9112, 6 and 7).

Every body has `size` (payload bytes that went by), `ended` and `broken` (its framing cannot be followed any more),
`take(data, position)` which gives the position behind what belongs to it, and `skip(size)` for bytes that nobody saw,
which gives how many of them lie behind the end, -1 when the framing is lost.
"""

from __future__ import annotations

import re

CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?")
CHUNK_LINE_MAX = 4096  # extensions included
TRAILERS_MAX = 32_768


class CountedBody:
    """Content-Length, or everything until the connection closes when `length` is None."""

    __slots__ = ("_left", "broken", "ended", "size")

    def __init__(self, length: int | None) -> None:
        self.size = 0
        self.ended = False
        self.broken = False
        self._left = length

    @property
    def until_close(self) -> bool:
        """The end of the connection is its end."""
        return self._left is None

    def take(self, data: bytes, position: int) -> int:
        """Position in `data` behind the bytes of this body."""
        return len(data) - self.skip(len(data) - position)

    def skip(self, size: int) -> int:
        """How many of `size` unseen bytes lie behind the end."""
        if self._left is None:
            self.size += size
            return 0
        taken = min(self._left, size)
        self._left -= taken
        self.size += taken
        self.ended = self._left == 0
        return size - taken


class ChunkedBody:
    """Transfer-Encoding: chunked, with trailers."""

    __slots__ = ("_left", "_line", "_step", "_trailer_bytes", "broken", "ended", "size")
    until_close = False

    def __init__(self) -> None:
        self.size = 0
        self.ended = False
        self.broken = False
        self._left = 0
        self._line = b""  # the beginning of a chunk's size line or of a trailer
        self._step = ChunkedBody._take_size
        self._trailer_bytes = 0

    def take(self, data: bytes, position: int) -> int:
        """Position in `data` behind the bytes of this body, or where its framing broke."""
        while position < len(data) and not (self.ended or self.broken):
            position = self._step(self, data, position)
        return position

    def skip(self, size: int) -> int:
        """Stays in step while `size` ends within a chunk's data."""
        if self._step is not ChunkedBody._take_data or size > self._left:
            return -1
        self._pass(size)
        return 0

    def _take_size(self, data: bytes, position: int) -> int:
        line, position = self._take_line(data, position, CHUNK_LINE_MAX)
        if line is None:
            return position
        found = CHUNK_SIZE.fullmatch(line)
        if not found:
            self.broken = True
            return position
        self._left = int(found[1], 16)
        self._step = ChunkedBody._take_data if self._left else ChunkedBody._take_trailer
        return position

    def _take_data(self, data: bytes, position: int) -> int:
        taken = min(self._left, len(data) - position)
        self._pass(taken)
        return position + taken

    def _pass(self, size: int) -> None:
        self._left -= size
        self.size += size
        if not self._left:
            self._step = ChunkedBody._take_data_end

    def _take_data_end(self, data: bytes, position: int) -> int:
        line, position = self._take_line(data, position, 1)
        if line is not None:
            self.broken = line not in (b"", b"\r")
            self._step = ChunkedBody._take_size
        return position

    def _take_trailer(self, data: bytes, position: int) -> int:
        start = position
        line, position = self._take_line(data, position, TRAILERS_MAX)
        self._trailer_bytes += position - start
        self.broken = self.broken or self._trailer_bytes > TRAILERS_MAX
        self.ended = line in (b"", b"\r") and not self.broken
        return position

    def _take_line(self, data: bytes, position: int, limit: int) -> tuple[bytes | None, int]:
        """(line without its line feed or None while it is not whole, new position). A line beyond `limit` breaks the body."""
        end = data.find(b"\n", position, position + limit + 1 - len(self._line))
        if end >= 0:
            line = self._line + data[position:end]
            self._line = b""
            return line, end + 1
        self._line += data[position : position + limit + 1 - len(self._line)]
        self.broken = len(self._line) > limit
        return None, len(data)
