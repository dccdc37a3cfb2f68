"""Reads ClickHouse's Native format, written from its documentation and not from our encoder."""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections import defaultdict
from typing import Any

NUMBERS = {"UInt8": "B", "UInt16": "H", "UInt32": "I", "UInt64": "Q", "Int64": "q", "Float64": "d", "DateTime64(9, 'UTC')": "q"}
INDEXES = "BHIQ"


class NativeReader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def blocks(self) -> tuple[dict[str, list[Any]], dict[str, str]]:
        """All values by column, of all blocks in order, and each column's type."""
        values: dict[str, list[Any]] = defaultdict(list)
        types: dict[str, str] = {}
        while self._at < len(self._data):
            columns, rows = self._length(), self._length()
            for _ in range(columns):
                name, kind = self._text(), self._text()
                types[name] = kind
                values[name] += self._column(kind, rows)
        return dict(values), types

    def _column(self, kind: str, rows: int) -> list[Any]:
        if kind in NUMBERS:
            return self._numbers(NUMBERS[kind], rows)
        if kind == "String":
            return [self._text() for _ in range(rows)]
        if kind in ("IPv6", "FixedString(16)"):
            return [ipaddress.IPv6Address(self._bytes(16)) for _ in range(rows)]
        if kind == "LowCardinality(String)":
            return self._words(rows)
        if kind.startswith("Array("):
            ends = [0, *self._numbers("Q", rows)]
            flat = self._column(kind[6:-1], ends[-1])
            return [flat[start:end] for start, end in itertools.pairwise(ends)]
        raise ValueError(kind)

    def _words(self, rows: int) -> list[str]:
        version, flags = self._numbers("Q", 2)
        assert (version, flags >> 8) == (1, 0b110), "shared dictionaries with additional keys, a new one in each block"
        keys = [self._text() for _ in range(self._numbers("Q", 1)[0])]
        assert self._numbers("Q", 1) == [rows]
        return [keys[index] for index in self._numbers(INDEXES[flags & 0xFF], rows)]

    def _numbers(self, code: str, count: int) -> list[Any]:
        return list(struct.unpack(f"<{count}{code}", self._bytes(struct.calcsize(code) * count)))

    def _text(self) -> str:
        return self._bytes(self._length()).decode()

    def _length(self) -> int:
        number = shift = 0
        while True:
            byte = self._bytes(1)[0]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def _bytes(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        assert len(taken) == count, "the data end early"
        self._at += count
        return taken
