"""Live follow: each subscriber has a bounded queue of its own, and nobody waits for a slow one."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from collector.batch import Rows
from collector.errors import QueryError
from collector.store.flow_rows import FLOW

QUEUE_ROWS = 4096
SUBSCRIBERS_MAX = 16


class Subscription:
    """Rows for one reader. The pipeline puts, the reader takes; neither waits for the other."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._queue: deque[Rows] = deque()
        self._queued = 0
        self._lost = 0

    def put(self, rows: Rows) -> int:
        """Queues `rows`, which nobody may change any more; gives how many older or newer rows were lost by it."""
        with self._lock:
            kept = rows[-self._capacity :]
            self._queue.append(kept)
            self._queued += len(kept)
            lost = len(rows) - len(kept)
            while self._queued > self._capacity:
                oldest = self._queue.popleft()
                self._queued -= len(oldest)
                lost += len(oldest)
            self._lost += lost
            return lost

    def take(self) -> tuple[Rows, int]:
        """All rows since the last call, oldest first, and how many were lost before them."""
        queued, lost = self.take_pieces()
        return (np.concatenate(queued) if queued else np.zeros(0, FLOW)), lost

    def take_pieces(self) -> tuple[list[Rows], int]:
        """The same, in the arrays that were put: costs nothing per row."""
        with self._lock:
            queued, lost = list(self._queue), self._lost
            self._queue.clear()
            self._queued = self._lost = 0
        return queued, lost


class Followers:
    """All subscriptions. `lost` counts the rows that slow readers did not get."""

    def __init__(self, subscribers_max: int = SUBSCRIBERS_MAX, queue_rows: int = QUEUE_ROWS) -> None:
        self.subscribers_max = subscribers_max
        self.lost = 0
        self._queue_rows = queue_rows
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, queue_rows: int = 0) -> Subscription:
        """A new subscription, with a queue of its own length if given; QueryError when there are as many as allowed."""
        with self._lock:
            if len(self._subscriptions) >= self.subscribers_max:
                raise QueryError(f"{self.subscribers_max} readers follow already, as many as may.", "End one of them.")
            subscription = Subscription(queue_rows or self._queue_rows)
            self._subscriptions.append(subscription)
            return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription; one that has ended already is left alone."""
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def publish(self, rows: Rows) -> None:
        """Hands `rows` to every subscriber. Never blocks on a reader."""
        if len(rows) and self._subscriptions:
            with self._lock:
                self.lost += sum(subscription.put(rows) for subscription in self._subscriptions)
