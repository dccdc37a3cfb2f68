"""Rows to 64-bit numbers, so that equal rows can be found by sorting numbers instead of comparing fields.

For 100,000 distinct rows the chance that any two share a number is 3e-10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from collector.batch import Column

# Odd multipliers of splitmix64 (Steele, Lea, Flood 2014).
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
FINISH = np.uint64(0xBF58476D1CE4E5B9)
SHIFT = np.uint64(32)
# Multilinear hashing (Carter, Wegman 1979): the sum of each value times a random odd number of its own.
# From a hash, for numpy.random takes 2 MiB.
FACTORS = np.frombuffer(hashlib.shake_128(b"factors of hash_numbers").digest(64 * 8), np.uint64) | np.uint64(1)


def words_of(column: Column) -> list[Column]:
    """The column as uint64 columns that hold all its bits.

    Numbers are widened, bytes and text (V16, S16, U8, rows of uint8) cut into words of eight, the last one filled with
    zeros; -0.0 is 0.0; objects go by Python's hash.
    """
    if column.dtype.kind == "O":
        return [np.fromiter(map(hash, column), np.int64, len(column)).view(np.uint64)]
    if column.dtype.kind == "f":
        return [(column.astype(np.float64) + 0.0).view(np.uint64)]
    if column.dtype.kind in "uib" and column.ndim == 1:
        return [column.astype(np.uint64)]
    width = column.dtype.itemsize * (column.shape[1] if column.ndim > 1 else 1)
    raw = np.ascontiguousarray(column).view(np.uint8).reshape(len(column), width)
    if width % 8:
        raw = np.pad(raw, ((0, 0), (0, 8 - width % 8)))
    words = np.ascontiguousarray(raw).view(np.uint64)
    return [words[:, index] for index in range(words.shape[1])]


def hash_rows(columns: Sequence[Column], seed: int = 0) -> Column:
    """One uint64 per row of the given columns; equal rows give equal numbers."""
    mixed: Column = np.full(len(columns[0]) if columns else 0, seed, np.uint64)
    for column in columns:
        for word in words_of(column):
            mixed ^= word
            mixed *= MULTIPLIER
            mixed ^= mixed >> SHIFT
            mixed *= FINISH  # twice: a high bit alone would come out as two bits, which the next word could undo
            mixed ^= mixed >> SHIFT
    return mixed


def hash_numbers(columns: Sequence[Column]) -> Column:
    """uint64 (n,) for columns of whole numbers: quicker than `hash_rows`, only the upper bits are well mixed."""
    total: Column = columns[0].astype(np.uint64)
    total *= FACTORS[0]
    for factor, column in zip(FACTORS[1:], columns[1:], strict=False):
        wide = column.astype(np.uint64)
        wide *= factor
        total += wide
    return total
