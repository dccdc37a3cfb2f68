"""Captured bytes as words of eight, without a copy."""

from __future__ import annotations

import numpy as np

from collector.batch import Column


def view_words(heads: Column, count: int) -> Column:
    """The first `count` words of each head, uint8 (n, width) -> little-endian uint64 (n, count)."""
    return np.lib.stride_tricks.as_strided(heads, (len(heads), count, 8), (heads.strides[0], 8, 1)).view("<u8")[..., 0]
