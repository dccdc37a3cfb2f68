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
        self._kernel, self._conntrack = kernel, conntrack

    @property
    def probes(self) -> list[ProbeModel]:
        return [*(probe.model for probe in self._kernel.probes), *self._conntrack.probes]

    @property
    def finished(self) -> bool:
        return False

    def open(self) -> None:
        """HoneyguideError when no probe can run."""
        self._kernel.open()
        self._conntrack.open()

    def read(self) -> list[Batch]:
        """Read last, told first: whatever happened before a row left the kernel is known when the row is looked at."""
        batches = self._kernel.read()
        return [*self._conntrack.read(), *batches]

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        self._kernel.steer(probe, modes)

    def books(self) -> list[Book]:
        return [*self._kernel.books(), *self._conntrack.books()]

    def statuses(self) -> Sequence[ProbeStatus]:
        return [*self._kernel.statuses(), *self._conntrack.statuses()]

    def fills(self) -> dict[tuple[str, str], float]:
        return {**self._kernel.fills(), **self._conntrack.fills()}

    def close(self) -> None:
        self._kernel.close()
        self._conntrack.close()
