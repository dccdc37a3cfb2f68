"""RESP2 and RESP3, what Redis speaks, cut into whole values (redis.io, "Redis serialization protocol specification")."""

from __future__ import annotations

KEPT_BYTES = 192  # of one value: enough for a command's first two words and for an error's first
LINE_BYTES = 96  # of a line with a length: a type, digits and a line end
LARGEST = 1 << 40  # no count and no string length is beyond
STREAMS = 32  # streamed aggregates in each other
UNTIL_END = 1 << 60  # more elements than a streamed aggregate can have

ARRAY, BULK, ERROR, BULK_ERROR, PUSH, ATTRIBUTE, SIMPLE, INTEGER, MAP, CHUNK, END = b"*$-!>|+:%;."
LINES = frozenset(b"+-:_#,(\r\n")  # complete at the end of their line; the line feed alone is a primary's keep-alive
BULKS = frozenset(b"$=!;")
ELEMENTS_EACH = {ARRAY: 1, ord("~"): 1, PUSH: 1, MAP: 2, ATTRIBUTE: 2}
ANSWERS = (LINES | BULKS | frozenset(ELEMENTS_EACH)) - {CHUNK}

# (buffer, where the value begins in it, its size on the wire, when its first byte came). The buffer holds at least the first
# KEPT_BYTES of the value, and may hold anything behind it.
Value = tuple[bytes, int, int, int]


class ValueReader:
    """Cuts the bytes of one side into top-level values; keeps no more than the beginning of the one under way.

    commands: the side is the client's, whose values are arrays of strings, or lines of words. An attribute in front of an
    answer is a value of its own. in_step turns false at bytes that cannot be RESP: then no values come until `rejoin`.
    kind: type of the value under way, 0 between values.
    """

    def __init__(self, *, commands: bool) -> None:
        self._commands = commands
        self.rejoin()

    def rejoin(self) -> None:
        """The next byte is the first of a value."""
        self.in_step = True
        self.kind = 0
        self._remaining = 0  # elements until the value is complete
        self._leading = False  # at the first element
        self._streams: list[int] = []  # what remains around each streamed aggregate
        self._body = 0  # bytes of a string still to come, its line end included
        self._in_line = False  # inside a line whose content does not matter
        self._held = b""  # beginning of a line with a length
        self._prefix = b""
        self._size = 0
        self._began_at = 0

    def lose(self) -> None:
        """Where the next value begins is not known any more."""
        self.rejoin()
        self.in_step = False

    def cut(self, data: bytes, time_ns: int) -> list[Value]:
        """The values that end in `data`."""
        values: list[Value] = []
        if self.in_step:
            try:
                self._cut(data, time_ns, values)
            except (ValueError, LookupError):
                self.lose()
        return values

    def skip(self, size: int) -> list[Value]:
        """Like `cut`, for `size` unseen bytes: stays in step when all are inside one string."""
        if size > self._body:
            self.lose()
        if not size or not self.in_step:
            return []
        self._keep(bytes(min(size, KEPT_BYTES)), 0, size)
        self._body -= size
        return [] if self._body or self._remaining else [self._finish()]

    def foresee_size(self) -> int:
        """Bytes of the value under way on the wire, when only the rest of its last string is to come; else -1."""
        return self._size + self._body if self._body and not self._remaining else -1

    def _cut(self, data: bytes, time_ns: int, values: list[Value]) -> None:
        position, size = 0, len(data)
        if self.kind:
            data, self._held = self._held + data, b""
            position, size = self._pass_value(data, 0), len(data)
            if position < 0:
                return
            self._keep(data, 0, position)
            values.append(self._finish())
        lines = () if self._commands else LINES
        while position < size:
            start, kind = position, data[position]
            position = data.find(b"\n", start) + 1 if kind in lines else 0
            if not position:
                self._begin(kind, time_ns)
                position = self._pass_value(data, start)
                if position < 0:
                    return
                self.kind = 0
            values.append((data, start, position - start, time_ns))

    def _begin(self, kind: int, time_ns: int) -> None:
        if not self._commands and kind not in ANSWERS:
            raise ValueError
        self.kind = kind
        self._began_at = time_ns
        self._leading = True
        self._in_line = kind != ARRAY if self._commands else kind in LINES
        self._remaining = 0 if self._in_line else 1

    def _pass_value(self, data: bytes, start: int) -> int:
        """Position behind the value under way, whose next byte is at `start`; -1 when it goes on behind `data`."""
        size, remaining = len(data), self._remaining
        position = self._pass_rest(data, start) if self._body or self._in_line else start
        while remaining and position >= 0:
            end = data.find(b"\n", position)
            if end < 0:
                return self._wait(data, start, position, remaining)
            kind = data[position]
            if kind in BULKS and data[position + 1] != 63:  # "?": the length is not known in advance
                count = int(data[position + 1 : end])
                position = end + 1
                remaining -= 1
                if count > 0 or (count == 0 and kind != CHUNK):
                    position += count + 2
                    if position > size:
                        self._body, self._remaining = position - size, remaining
                        return self._keep(data, start, size)
                elif count == 0:
                    remaining = self._streams.pop()
                if not -1 <= count <= LARGEST:
                    raise ValueError
            else:
                remaining = self._pass_line(kind, data[position + 1 : end], remaining)
                position = end + 1
        return position

    def _pass_rest(self, data: bytes, start: int) -> int:
        """Position behind the string or line that had begun earlier; -1 when it goes on behind `data`."""
        if self._in_line:
            position = data.find(b"\n", start) + 1
            if not position:
                return self._keep(data, start, len(data))
            self._in_line = False
            return position
        position = start + self._body
        self._body = max(position - len(data), 0)
        return self._keep(data, start, len(data)) if self._body else position

    def _pass_line(self, kind: int, digits: bytes, remaining: int) -> int:
        """How many elements remain after an element that is a line, or the first line of an aggregate."""
        if self._commands and (self.kind != kind or remaining != 1):
            raise ValueError
        if kind in LINES:
            return remaining - 1
        if kind == END:
            return self._streams.pop()
        around = remaining if kind == ATTRIBUTE and not self._leading else remaining - 1
        self._leading = False
        if digits == b"?\r":
            if len(self._streams) >= STREAMS:
                raise ValueError
            self._streams.append(around)
            return UNTIL_END
        count = int(digits)
        if not -1 <= count <= LARGEST:
            raise ValueError
        return around + max(count, 0) * ELEMENTS_EACH[kind]

    def _wait(self, data: bytes, start: int, position: int, remaining: int) -> int:
        """The line at `position` is not complete: hold it when it may say a length, else count it as it comes."""
        size = len(data)
        self._remaining = remaining
        if position < size and data[position] in LINES and not self._commands:
            self._in_line = True
            self._remaining -= 1
            return self._keep(data, start, size)
        if size - position > LINE_BYTES:
            raise ValueError
        self._held = data[position:]
        return self._keep(data, start, position)

    def _keep(self, data: bytes, start: int, end: int) -> int:
        """Remember these bytes of the value under way, as far as they are kept; always -1."""
        if len(self._prefix) < KEPT_BYTES:
            self._prefix += data[start : min(end, start + KEPT_BYTES - len(self._prefix))]
        self._size += end - start
        return -1

    def _finish(self) -> Value:
        value = (self._prefix, 0, self._size, self._began_at)
        self.rejoin()
        return value


def read_words(head: bytes, most: int) -> list[bytes]:
    """Up to `most` first strings of the array, or words of the line, that `head` begins with, as far as they are whole in it."""
    position = head.find(b"\n") + 1
    if head[:1] not in (b"*", b">", b"~"):
        return head[:position].split(None, most)[:most]
    words: list[bytes] = []
    try:
        most = min(most, int(head[1:position]))
        while len(words) < most and head[position] in BULKS:
            start = head.index(b"\n", position) + 1
            end = start + int(head[position + 1 : start])
            if not start <= end <= len(head):
                break
            words.append(head[start:end])
            position = end + 2
    except (ValueError, LookupError):
        pass
    return words


def count_elements(head: bytes) -> int:
    """How many strings or words the command at the beginning of `head` has."""
    line = head[: head.find(b"\n") + 1]
    if head[:1] != b"*":
        return len(line.split())
    return int(line[1:]) if line[1:].strip().isdigit() else 0
