"""ClickHouse's Native format: a block of columns, each written at once from an array.

Format: ClickHouse documentation, "Native" and "LowCardinality data type"; without block info, as the HTTP interface reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from collector.batch import Column

KEYS_VERSION = (1).to_bytes(8, "little")  # SharedDictionariesWithAdditionalKeys, the only one
HAS_KEYS, NEW_DICTIONARY = 1 << 9, 1 << 10
INDEX_TYPES = (("<u1", 0), ("<u2", 1), ("<u4", 2))


class NativeColumn(NamedTuple):
    """type: as ClickHouse writes it. data: all values of the block."""

    name: str
    type: str
    data: bytes


def encode_block(columns: Sequence[NativeColumn], rows: int) -> bytes:
    """One block; all columns hold `rows` values."""
    parts = [variable_length(len(columns)), variable_length(rows)]
    for column in columns:
        parts += (encode_text(column.name), encode_text(column.type), column.data)
    return b"".join(parts)


def variable_length(number: int) -> bytes:
    """Unsigned LEB128."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def encode_text(text: str) -> bytes:
    """A String: its length, then UTF-8; what cannot be written in it becomes '?'."""
    encoded = text.encode("utf-8", "replace")
    return variable_length(len(encoded)) + encoded


def encode_numbers(values: Column, code: str) -> bytes:
    """Fixed-width values, shape (n,); code: NumPy's, little-endian."""
    return values.astype(code, copy=False).tobytes()


def encode_texts(which: Column, texts: Sequence[str]) -> bytes:
    """Strings: texts[which[i]] for each row, shape (n,)."""
    encoded = [encode_text(text) for text in texts]
    return b"".join([encoded[index] for index in which.tolist()])


def encode_words(which: Column, texts: Sequence[str]) -> bytes:
    """LowCardinality(String): texts[which[i]] for each row, shape (n,); each distinct text is written once."""
    keys: dict[str, int] = {"": 0}
    places = np.array([keys.setdefault(text, len(keys)) for text in texts], np.uint32)
    code, index_type = next(one for one in INDEX_TYPES if len(keys) <= 1 << 8 * int(one[0][-1]))
    indexes = (places[which] if len(places) else which).astype(code)
    return b"".join(
        (
            KEYS_VERSION,
            (index_type | HAS_KEYS | NEW_DICTIONARY).to_bytes(8, "little"),
            len(keys).to_bytes(8, "little"),
            *map(encode_text, keys),
            len(indexes).to_bytes(8, "little"),
            indexes.tobytes(),
        )
    )


def encode_lists(lists: Iterable[Sequence[bytes]]) -> bytes:
    """Array of fixed-width values: where each row's ends, then all values."""
    kept = list(lists)
    ends = np.cumsum([len(one) for one in kept], dtype="<u8")
    return ends.tobytes() + b"".join([value for one in kept for value in one])
