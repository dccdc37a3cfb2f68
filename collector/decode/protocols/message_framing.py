"""Bytes of one side cut into messages that tell their length at their beginning."""

from __future__ import annotations

# (buffer, where the message begins in it, its size on the wire, when its first byte came). The buffer may lack the end of a
# long message, and may hold anything behind a short one.
Message = tuple[bytes, int, int, int]


class MessageFramer:
    """Cuts one side's bytes; of a message under way it keeps only as much as the protocol wants to read.

    A protocol implements `_split`, `_measure` and `_limit`. in_step turns false at bytes that cannot begin a message, or when
    bytes are missing somewhere else than inside one: then no messages come until `rejoin`.
    """

    def __init__(self, head_bytes: int, needed_bytes: int) -> None:
        self._head_bytes = head_bytes
        self._needed_bytes = needed_bytes  # of a message without which it says nothing
        self.rejoin()

    def rejoin(self) -> None:
        """The next byte is the first of a message."""
        self.in_step = True
        self._kept = b""  # beginning of the message under way
        self._room = 0  # how much more of it is kept
        self._size = 0  # of it, 0 as long as its head is not complete
        self._missing = 0
        self._began_at = 0

    def lose(self) -> None:
        """Where the next message begins is not known any more."""
        self.rejoin()
        self.in_step = False

    def is_between(self) -> bool:
        """Whether the next byte is the first of a message."""
        return self.in_step and not (self._missing or self._kept)

    def cut(self, data: bytes, time_ns: int) -> list[Message]:
        """The messages that end in `data`."""
        messages: list[Message] = []
        if not self.in_step:
            return messages
        position, began_at = 0, time_ns
        if self._missing:
            position = min(self._missing, len(data))
            self._take(data[:position], position)
            if self._missing:
                return messages
            messages.append(self._finish())
        elif self._kept:
            data, began_at, self._kept = self._kept + data, self._began_at, b""
        position = self._split(data, position, messages, began_at, time_ns)
        self._began_at = time_ns if position else began_at
        if position < 0:
            self.lose()
        elif len(data) - position < self._head_bytes:
            self._kept = data[position:]
        else:
            self._begin(data, position, self._measure(data, position))
        return messages

    def skip(self, size: int) -> list[Message]:
        """Like `cut`, for `size` unseen bytes: stays in step when all belong to one message whose beginning was seen."""
        if size > self._missing or len(self._kept) < self._needed_bytes:
            self.lose()
        if not self.in_step or not size:
            return []
        self._room = 0  # what comes behind a gap would be read at the wrong place
        self._take(b"", size)
        return [] if self._missing else [self._finish()]

    def finish_begun(self, size: int) -> list[Message]:
        """The message under way when `size` unseen bytes hold its end and more, and enough of it was seen; then `skip` them."""
        if not (self.in_step and 0 < self._missing < size and len(self._kept) >= self._needed_bytes):
            return []
        return [self._finish()]

    def _begin(self, data: bytes, position: int, total: int) -> None:
        """The message at `position` does not end in `data`."""
        limit = self._limit(data, position)
        self._kept = data[position : position + limit]
        self._room = limit - len(self._kept)
        self._size = total
        self._missing = position + total - len(data)

    def _take(self, data: bytes, size: int) -> None:
        if self._room:
            self._kept += data[: self._room]
            self._room = max(self._room - size, 0)
        self._missing -= size

    def _finish(self) -> Message:
        message = (self._kept, 0, self._size, self._began_at)
        self.rejoin()
        return message

    def _split(self, data: bytes, position: int, messages: list[Message], began_at: int, time_ns: int) -> int:
        """Append the whole messages from `position` on, of which only the first began earlier, at `began_at`.

        Returns where the first message begins that is not whole; -1 when there cannot be one.
        """
        raise NotImplementedError

    def _measure(self, data: bytes, position: int) -> int:
        """Bytes of the message at `position`, of which the head is there."""
        raise NotImplementedError

    def _limit(self, data: bytes, position: int) -> int:
        """How many bytes of the message at `position` to keep until its end comes, at least its head."""
        raise NotImplementedError
