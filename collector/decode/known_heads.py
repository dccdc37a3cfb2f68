"""Heads of messages that come again and again: what was read in one is found by its hash, a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from collector.batch import Column
from collector.decode.head_words import view_words
from collector.row_groups import group_keys
from collector.row_hash import MULTIPLIER

HEADS_MAX = 8192
MOST_DISTINCT = 4  # a batch in which more than one of so many rows is new to it is not worth the look-ups
# Multilinear hashing (see row_hash.py), with factors that nobody outside knows: heads are chosen by others.
FACTORS = np.frombuffer(os.urandom(128 * 8), np.uint64) | np.uint64(1)


class KnownHeads:
    """read: the bytes of a head -> numbers below 2**64, always as many. Bounded: when full it starts anew."""

    def __init__(self, read: Callable[[bytes], Sequence[int]], limit: int = HEADS_MAX) -> None:
        self._read = read
        self._limit = limit
        self._known: dict[int, Sequence[int]] = {}

    def find(self, heads: Column, captured: Column) -> Column | None:
        """uint64 (numbers, n) for heads, uint8 (n, width), of which `captured` bytes are there; None when too many differ."""
        words = view_words(heads, heads.shape[1] // 8)
        keys = words @ FACTORS[: words.shape[1]] + captured.astype(np.uint64) * MULTIPLIER
        first, inverse = group_keys(keys)
        if len(first) * MOST_DISTINCT > len(heads) + 64:
            return None
        found = [
            self._look_up(key, heads[row, : captured[row]]) for key, row in zip(keys[first].tolist(), first.tolist(), strict=True)
        ]
        return np.array(found, np.uint64).T[:, inverse]

    def _look_up(self, key: int, head: Column) -> Sequence[int]:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= self._limit:
                self._known.clear()
            known = self._known[key] = self._read(head.tobytes())
        return known
