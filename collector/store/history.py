"""A bounded history of rows. Readers take a view in constant time and filter it at leisure, outside any lock."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from collector.batch import Rows

SEGMENT_ROWS = 4096


class History:
    """The newest `capacity` rows of one dtype, oldest first.

    Rows are written once into segments and never changed: a view is a tuple of slices of them, and stays true while
    more rows are appended. A segment is freed when its last row is overwritten and the last view of it is gone.
    """

    def __init__(self, dtype: np.dtype[Any], capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a history needs a capacity of at least 1, not {capacity}")
        self.dtype = dtype
        self.capacity = capacity
        self.overwritten = 0
        self._segment_rows = min(SEGMENT_ROWS, capacity)
        self._segments: deque[Rows] = deque()
        # rows without objects are copied as bytes: ten times as fast as field by field, which NumPy would do
        self._copied_as = dtype if dtype.hasobject else np.dtype((np.void, dtype.itemsize))
        self._skipped = 0  # rows at the head of the oldest segment that are overwritten already
        self._filled = 0  # rows written into the newest segment

    def __len__(self) -> int:
        if not self._segments:
            return 0
        return (len(self._segments) - 1) * self._segment_rows + self._filled - self._skipped

    def append(self, rows: Rows) -> None:
        """Copies `rows` (shape (n,)) behind the newest; what falls off the far end is counted in `overwritten`."""
        if len(rows) > self.capacity:
            self.overwritten += len(rows) - self.capacity
            rows = rows[-self.capacity :]
        while len(rows):
            taken = min(self._space(), len(rows))
            room = self._segments[-1][self._filled : self._filled + taken]
            room.view(self._copied_as)[:] = rows[:taken].view(self._copied_as)
            self._filled += taken
            rows = rows[taken:]
        self._forget(len(self) - self.capacity)

    def view(self) -> tuple[Rows, ...]:
        """Slices of shape (n_i,), oldest first; not to be written to. Costs nothing per row."""
        slices = list(self._segments)
        if slices:
            slices[-1] = slices[-1][: self._filled]
            slices[0] = slices[0][self._skipped :]
        return tuple(slices)

    def _space(self) -> int:
        if not self._segments or self._filled == self._segment_rows:
            self._segments.append(np.zeros(self._segment_rows, self.dtype))
            self._filled = 0
        return self._segment_rows - self._filled

    def _forget(self, surplus: int) -> None:
        if surplus <= 0:
            return
        self.overwritten += surplus
        self._skipped += surplus
        while self._skipped >= self._segment_rows:
            self._segments.popleft()
            self._skipped -= self._segment_rows
