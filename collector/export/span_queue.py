"""Spans on their way: calls wait a while for their cause to be known, then all wait to be sent. Bounded in number and bytes."""

from __future__ import annotations

from collections import deque

from collector.export.span_rows import PendingSpan


class SpanQueue:
    """Not for two threads at once. What is full takes nothing more: the older spans of a trace are with the newer ones then."""

    def __init__(self, max_spans: int, max_bytes: int) -> None:
        self._max_spans, self._max_bytes = max_spans, max_bytes
        self._waiting: deque[tuple[float, PendingSpan]] = deque()
        self._ready: deque[PendingSpan] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._ready)

    @property
    def ready(self) -> int:
        return len(self._ready)

    def put(self, span: PendingSpan, due: float | None) -> bool:
        """due: until then it waits; None: it is ready. False when there is no room."""
        if len(self) >= self._max_spans or self.bytes + span.size > self._max_bytes:
            return False
        self.bytes += span.size
        if due is None:
            self._ready.append(span)
        else:
            self._waiting.append((due, span))
        return True

    def release(self, now: float) -> list[PendingSpan]:
        """Those that have waited long enough; they are ready from now on."""
        released = []
        while self._waiting and self._waiting[0][0] <= now:
            released.append(self._waiting.popleft()[1])
        self._ready.extend(released)
        return released

    def take(self, count: int) -> list[PendingSpan]:
        """The oldest that are ready; they are no longer here."""
        taken = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
        self.bytes -= sum(span.size for span in taken)
        return taken
