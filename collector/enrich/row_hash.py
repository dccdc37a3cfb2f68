"""Rows to 64-bit numbers, so that equal rows can be found by sorting numbers instead of comparing fields."""

from __future__ import annotations

import numpy as np

from collector.batch import Column

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
FINISH = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64
SHIFT = np.uint64(32)


def words_of(column: Column) -> list[Column]:
    """The column as uint64 columns: numbers widened, bytes (V16, S16) cut into words of eight, the last one filled with zeros."""
    if column.dtype.kind in "uib":
        return [column.astype(np.uint64)]
    width = column.dtype.itemsize
    raw = np.ascontiguousarray(column).view(np.uint8).reshape(len(column), width)
    if width % 8:
        raw = np.pad(raw, ((0, 0), (0, 8 - width % 8)))
    words = np.ascontiguousarray(raw).view(np.uint64)
    return [words[:, index] for index in range(words.shape[1])]


def hash_rows(columns: list[Column], seed: int = 0) -> Column:
    """One uint64 per row of the given columns; equal rows give equal numbers, others differ but for one in 2**64."""
    length = len(columns[0]) if columns else 0
    mixed = np.full(length, seed, np.uint64)
    for column in columns:
        for word in words_of(column):
            mixed ^= word
            mixed *= MULTIPLIER
            mixed ^= mixed >> SHIFT
            mixed *= FINISH  # twice: a high bit alone would come out as two bits, which the next word could undo
            mixed ^= mixed >> SHIFT
    return mixed
