"""Kernel records carry CLOCK_BOOTTIME; people read wall-clock time. The offset is measured again at every drain."""

from __future__ import annotations

import time
from typing import Protocol

NANOSECONDS = 1_000_000_000


class Clock(Protocol):
    """boot_ns: now on the clock of the records. offset_ns: unix time minus boot time, as of the last `measure`."""

    def boot_ns(self) -> int: ...

    @property
    def offset_ns(self) -> int: ...

    def measure(self) -> None: ...


class SystemClock:
    """This machine's clocks."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self.measure()

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    @property
    def offset_ns(self) -> int:
        return self._offset_ns

    def measure(self) -> None:
        """Called between drains: rows keep the offset of the drain that brought them, so a clock step moves no old row."""
        before = self.boot_ns()
        wall = time.time_ns()
        after = self.boot_ns()
        self._offset_ns = wall - (before + after) // 2


class FixedClock:
    """The clock of a recording (or a test): the offset it was made with, moved forward by what it holds."""

    def __init__(self, offset_ns: int, boot_ns: int = 0) -> None:
        self._offset_ns = offset_ns
        self.now_boot_ns = boot_ns

    def boot_ns(self) -> int:
        return self.now_boot_ns

    @property
    def offset_ns(self) -> int:
        return self._offset_ns

    def move(self, offset_ns: int) -> None:
        self._offset_ns = offset_ns

    def measure(self) -> None:
        return None
