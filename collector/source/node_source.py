"""Everything that is read on the running node as one source: the kernel's probes and its connection tracking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collector.accounts import Book
from collector.batch import Batch
from collector.catalog.probe_model import ProbeModel
from collector.probe_status import ProbeStatus
from collector.source.conntrack_source import ConntrackSource
from collector.source.kernel_source import KernelSource


class NodeSource:
    """A Source made of both; conntrack never keeps the probes from running."""

    def __init__(self, kernel: KernelSource, conntrack: ConntrackSource) -> None:
        self.kernel, self.conntrack = kernel, conntrack

    @property
    def probes(self) -> list[ProbeModel]:
        return [*(probe.model for probe in self.kernel.probes), *self.conntrack.probes]

    @property
    def finished(self) -> bool:
        return False

    def open(self) -> None:
        """HoneyguideError when no probe can run."""
        self.kernel.open()
        self.conntrack.open()

    def read(self) -> list[Batch]:
        """Read last, told first: whatever happened before a row left the kernel is known when the row is looked at."""
        batches = self.kernel.read()
        return [*self.conntrack.read(), *batches]

    def wait(self, longest: float) -> None:
        """Until it is time to read again, at most so many seconds; conntrack's rows wait."""
        self.kernel.wait(longest)

    def interrupt(self) -> None:
        """Ends `wait` for good; also from a signal's handler."""
        self.kernel.interrupt()

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        self.kernel.steer(probe, modes)

    def books(self) -> list[Book]:
        return [*self.kernel.books(), *self.conntrack.books()]

    def statuses(self) -> Sequence[ProbeStatus]:
        return [*self.kernel.statuses(), *self.conntrack.statuses()]

    def fills(self) -> dict[tuple[str, str], float]:
        return {**self.kernel.fills(), **self.conntrack.fills()}

    def close(self) -> None:
        self.kernel.close()
        self.conntrack.close()
