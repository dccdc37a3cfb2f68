"""Which rows are alike, in a few passes over their keys: what `numpy.unique` finds by sorting, without its order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collector.batch import Column, RowGroups
from collector.row_hash import FINISH, SHIFT, hash_numbers

SLOT_BITS = 15
FEW_ROWS = 64  # sorting these is quicker


def group_rows(columns: Sequence[Column]) -> RowGroups:
    """Groups the rows of columns of whole numbers, each of shape (n,)."""
    return group_keys(hash_numbers(columns))


def group_keys(keys: Column) -> RowGroups:
    """Groups uint64 keys of shape (n,). Linear while the distinct ones are far fewer than 2**15; never wrong."""
    if len(keys) <= FEW_ROWS:
        return _sort(keys)
    slots = (((keys ^ (keys >> SHIFT)) * FINISH) >> np.uint64(64 - SLOT_BITS)).astype(np.intp)
    holders = np.empty(1 << SLOT_BITS, np.int32)  # only what is written is read
    holders[slots[::-1]] = np.arange(len(keys) - 1, -1, -1, dtype=np.int32)  # of several the last written stays: the first row
    holder = holders[slots].astype(np.intp)
    strangers = np.flatnonzero(keys[holder] != keys)
    if len(strangers) > len(keys) // 8:
        return _sort(keys)
    own = holder == np.arange(len(keys))
    first = np.flatnonzero(own)
    numbers = np.empty(len(keys), np.intp)
    numbers[first] = np.arange(len(first))
    inverse = numbers[holder]
    if len(strangers):  # they lost their slot to others; all rows with their key did
        _, places, back = np.unique(keys[strangers], return_index=True, return_inverse=True)
        inverse[strangers] = len(first) + back
        first = np.concatenate([first, strangers[places]])
    return RowGroups(first, inverse)


def _sort(keys: Column) -> RowGroups:
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return RowGroups(first, inverse)
