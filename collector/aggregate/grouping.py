"""Group-by without a Python function per row: any columns become one 64-bit number per row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collector.batch import Column

# Odd multipliers of the splitmix64 finaliser (Steele, Lea, Flood 2014).
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
STEP = np.uint64(0x9E3779B97F4A7C15)


def hash_columns(columns: Sequence[Column]) -> Column:
    """uint64 of shape (n,), equal for equal rows. For 100,000 distinct rows the chance of any collision is 3e-10."""
    result = np.full(len(columns[0]), STEP, np.uint64)
    for column in columns:
        for words in as_words(column):
            result = mix(result ^ words)
            result += STEP
    return result


def mix(words: Column) -> Column:
    words = (words ^ (words >> np.uint64(30))) * FIRST
    words = (words ^ (words >> np.uint64(27))) * SECOND
    mixed: Column = words ^ (words >> np.uint64(31))
    return mixed


def as_words(column: Column) -> list[Column]:
    """A column as one or more uint64 columns that hold all of its bits."""
    if column.dtype.kind in "SVU":
        size = column.dtype.itemsize
        padded = np.zeros((len(column), (size + 7) // 8 * 8), np.uint8)
        padded[:, :size] = np.ascontiguousarray(column).view(np.uint8).reshape(len(column), size)
        return list(padded.view(np.uint64).T)
    if column.dtype.kind == "O":
        return [np.fromiter(map(hash, column), np.int64, len(column)).view(np.uint64)]
    if column.dtype.kind == "f":
        return [(column.astype(np.float64) + 0.0).view(np.uint64)]  # plus zero: -0.0 equals 0.0
    return [column.astype(np.uint64)]
