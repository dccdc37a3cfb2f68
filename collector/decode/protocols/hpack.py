"""HPACK (RFC 7541): header blocks of one direction of an HTTP/2 connection, also of one that is older than the agent.

Own code and not the `hpack` package, because an observer may have to start with a dynamic table it never saw: what refers
to it is unknown, not an error, while entries that are added later are sure (indices count from the newest entry). And
because values that nobody reads must not be decoded, far less kept: only names that the reading asks for leave their value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from collector.decode.protocols.hpack_static import STATIC_TABLE
from collector.decode.protocols.huffman import decode_huffman

ENTRY_OVERHEAD = 32  # RFC 7541, 4.1
DEFAULT_TABLE_BYTES = 4096
TABLE_LIMIT = 65_536  # bytes by the RFC's count that are kept, whatever the peers agree on
INTEGER_MAX = 1 << 28


class Entry(NamedTuple):
    """name: None unknown. value: what its reader made of it, None when nobody asks for it or it is unknown."""

    name: bytes | None
    value: Any
    size: int


UNKNOWN = Entry(None, None, 0)


class HeaderBlock(NamedTuple):
    """fields: (name, what its reader made of the value), in order. unknown: fields of which name or value cannot be known."""

    fields: list[tuple[bytes, Any]]
    unknown: int


class Reading:
    """readers: header name -> what to make of its value (never None); other values are dropped. None: all as bytes."""

    def __init__(self, readers: Mapping[bytes, Callable[[bytes], Any]] | None) -> None:
        self._readers = readers
        self.static = [self.entry(name, value, 0) for name, value in STATIC_TABLE]

    def wants(self, name: bytes | None) -> bool:
        """Whether values of this name are read."""
        return self._readers is None or name in self._readers  # an unknown name is in none

    def entry(self, name: bytes | None, value: bytes, size: int) -> Entry:
        """What remains of a header."""
        if self._readers is None:
            return Entry(name, value, size)
        reader = self._readers.get(name) if name is not None else None
        return Entry(name, reader(value) if reader else None, size)


class HpackDecoder:
    """One direction. `forget()` when blocks were missed or the connection is older than the agent."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._entries: deque[Entry] = deque()  # the newest last
        self._bytes = 0
        self._limit = DEFAULT_TABLE_BYTES
        self._limit_is_known = True
        self._complete = True  # no entry is there that we do not have

    @property
    def table(self) -> list[tuple[bytes | None, Any]]:
        """Known dynamic entries, the newest first."""
        return [(entry.name, entry.value) for entry in reversed(self._entries)]

    @property
    def table_bytes(self) -> int:
        """Size of the known entries by the RFC's count."""
        return self._bytes

    def forget(self) -> None:
        """The dynamic table holds unknown entries from now on, and its size is unknown too."""
        self._entries.clear()
        self._bytes = 0
        self._limit = TABLE_LIMIT
        self._limit_is_known = self._complete = False

    def decode(self, block: bytes) -> HeaderBlock | None:
        """None when the block is malformed: then the table is out of step, too."""
        fields: list[tuple[bytes, Any]] = []
        unknown = position = 0
        size = len(block)
        try:
            while position < size:
                if block[position] & 0xE0 == 0x20:
                    position = self._resize(block, position)
                    continue
                entry, position = self._read_field(block, position)
                if entry.name is None:
                    unknown += 1
                elif entry.value is not None:
                    fields.append((entry.name, entry.value))
        except (IndexError, ValueError):  # ends within a field; no such index, string or integer
            return None
        return HeaderBlock(fields, unknown)

    def _read_field(self, block: bytes, position: int) -> tuple[Entry, int]:
        byte = block[position]
        if byte & 0x80:
            if byte != 0xFF:
                return self._entry_at(byte & 0x7F), position + 1
            index, position = _read_integer(block, position, 7)
            return self._entry_at(index), position
        is_added = byte & 0x40 != 0
        index, position = _read_integer(block, position, 6 if is_added else 4)
        name: bytes | None
        if index:
            name = self._entry_at(index).name
        else:
            name, position = _read_string(block, position)
        if not is_added and not self._reading.wants(name):
            return Entry(name, None, 0), _skip_string(block, position)
        value, position = _read_string(block, position)
        entry = self._reading.entry(name, value, len(name or b"") + len(value) + ENTRY_OVERHEAD)
        if is_added:
            self._add(entry)
        return entry, position

    def _entry_at(self, index: int) -> Entry:
        if 0 < index <= len(STATIC_TABLE):
            return self._reading.static[index - 1]
        place = index - len(STATIC_TABLE)
        if 0 < place <= len(self._entries):
            return self._entries[-place]
        if index == 0 or self._complete:
            raise IndexError(index)
        return UNKNOWN

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += entry.size
        self._evict()

    def _evict(self) -> None:
        while self._bytes > self._limit:
            self._bytes -= self._entries.popleft().size
        if self._limit_is_known and self._bytes + ENTRY_OVERHEAD > self._limit:
            self._complete = True  # not even the smallest unknown entry fits beside these

    def _resize(self, block: bytes, position: int) -> int:
        limit, position = _read_integer(block, position, 5)
        if limit <= TABLE_LIMIT:
            self._limit, self._limit_is_known = limit, True
        else:
            self._limit, self._limit_is_known, self._complete = TABLE_LIMIT, False, False
        self._evict()
        return position


def _read_integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    """RFC 7541, 5.1: (value, position behind it)."""
    full = (1 << bits) - 1
    value = block[position] & full
    position += 1
    if value < full:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if value > INTEGER_MAX or shift > 28:
            raise ValueError(value)
        if byte < 0x80:
            return value, position
        shift += 7


def _read_string(block: bytes, position: int) -> tuple[bytes, int]:
    is_huffman = block[position] & 0x80
    size, position = _read_integer(block, position, 7)
    end = position + size
    if end > len(block):
        raise IndexError(end)
    if not is_huffman:
        return block[position:end], end
    text = decode_huffman(block[position:end])
    if text is None:
        raise ValueError(position)
    return text, end


def _skip_string(block: bytes, position: int) -> int:
    size, position = _read_integer(block, position, 7)
    if position + size > len(block):
        raise IndexError(size)
    return position + size
