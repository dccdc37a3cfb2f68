"""The wait between drains, which a ring that fills ends early.

Edge-triggered: a ring counts as readable as soon as one record is in it, but only a wake-up by the kernel is to end the wait.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence

SHARE_THAT_WAKES = 4  # of a ring, as a divisor: what is free then has to last until the agent runs


class WakeUps:
    """One thread waits; any thread, and a signal's handler, may call the rest."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)

    def watch(self, descriptors: Sequence[int]) -> None:
        """Rings and perf events whose kernel side says when they fill."""
        for descriptor in descriptors:
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def forget(self, descriptors: Sequence[int]) -> None:
        """Before they are closed: a mapping would keep them in the list."""
        for descriptor in descriptors:
            self._epoll.unregister(descriptor)

    def wait(self, seconds: float) -> bool:
        """True when something ended the wait before the time was over."""
        return bool(self._epoll.poll(seconds))

    def interrupt(self) -> None:
        """Ends this wait and all that follow."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._bell)
