"""Where batches come from: the running kernel, or a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from collector.accounts import Book
from collector.batch import Batch
from collector.probe_status import ProbeStatus


class Source(Protocol):
    """Opened once, read until it says it is done, closed once. `read` never blocks longer than a drain takes."""

    def open(self) -> None:
        """Attach or open files; raises HoneyguideError only when nothing at all can run."""
        ...

    def read(self) -> Sequence[Batch]:
        """All that came since the last call, in an order in which names precede the rows that need them."""
        ...

    @property
    def finished(self) -> bool:
        """True when no batch will ever come again (a recording at its end)."""
        ...

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        """Tells the kernel half of a probe how to treat connections (flow -> mode); a recording cannot be told."""
        ...

    def books(self) -> Sequence[Book]: ...

    def statuses(self) -> Sequence[ProbeStatus]: ...

    def fills(self) -> Mapping[tuple[str, str], float]:
        """(probe, record) -> how full its ring was at the last read, 0..1."""
        ...

    def close(self) -> None: ...
