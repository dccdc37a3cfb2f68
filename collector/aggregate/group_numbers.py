"""Groups of rows get a number that they keep from batch to batch: what was found out about one is found again by indexing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collector.batch import Column
from collector.row_hash import hash_numbers

LIMIT = 16_384
SLOT_BITS = 16


class GroupNumbers:
    """Rows of whole numbers -> the number of their group, from 0 on. Over `limit` all are given anew: `generation` moves then.

    A slot, chosen by the upper bits of a row's hash, remembers the group that was in it last; only rows of another group
    cost more than a few array operations. That two groups share a hash has a chance of 1e-11 at the limit. Zeros all over, so
    that the pages of slots that nobody came to cost nothing; a hash of 0 counts as 1.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._numbers: dict[int, int] = {}
        self._slot_keys = np.zeros(1 << SLOT_BITS, np.uint64)
        self._slot_numbers = np.zeros(1 << SLOT_BITS, np.intp)
        self.generation = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, columns: Sequence[Column]) -> Column:
        """intp (n,) for columns of kinds b, i, u and shape (n,)."""
        keys = hash_numbers(columns)
        slots = (keys >> np.uint64(64 - SLOT_BITS)).astype(np.intp)
        keys[keys == 0] = 1
        numbers = self._slot_numbers[slots]
        known = self._slot_keys[slots] == keys
        if known.all():
            return numbers
        others = np.flatnonzero(~known)
        unique, inverse = np.unique(keys[others], return_inverse=True)
        if len(self._numbers) + len(unique) > self._limit and self._numbers:
            self._forget()
            return self.number(columns)
        found = np.array([self._numbers.setdefault(key, len(self._numbers)) for key in unique.tolist()], np.intp)[inverse]
        numbers[others] = found
        self._slot_keys[slots[others]] = keys[others]
        self._slot_numbers[slots[others]] = found
        return numbers

    def _forget(self) -> None:
        self._numbers.clear()
        self._slot_keys[:] = 0
        self.generation += 1
