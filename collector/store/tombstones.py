"""Which flows ended lately: a snapshot that was being read while a flow closed may still show it."""

from __future__ import annotations

from collections import deque

import numpy as np

from collector.batch import Column


class Tombstones:
    """Flow ids that ended since the last snapshot or in the interval before it; at most about `capacity`."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._recent: deque[Column] = deque()
        self._older: deque[Column] = deque()
        self._held = 0

    def add(self, flows: Column) -> None:
        """Remembers `flows`, shape (n,), dtype u8; forgets the oldest beyond the capacity."""
        self._recent.append(flows.copy())
        self._held += len(flows)
        while self._held > self.capacity and len(self._recent) + len(self._older) > 1:
            self._held -= len((self._older or self._recent).popleft())

    def among(self, flows: Column) -> Column:
        """Mask, shape (n,), of those `flows` that ended."""
        ended = [*self._older, *self._recent]
        return np.isin(flows, np.concatenate(ended)) if ended else np.zeros(len(flows), bool)

    def age(self) -> None:
        """A snapshot was taken: what ended before the one before it cannot show up any more."""
        self._held -= sum(len(flows) for flows in self._older)
        self._older, self._recent = self._recent, deque()
