"""What the probes of requests have seen, decoded."""

from __future__ import annotations

from collections.abc import Mapping

from expectation import matching
from probe_trial import PROBES

from collector.batch import Batch
from collector.clock import SystemClock
from collector.decode import DECODERS
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings


class Requests:
    """From now on, until `source` is closed."""

    def __init__(self, *probes: str) -> None:
        settings = Settings(probes=probes, ring_bytes=1 << 22)
        self.source = KernelSource(source_settings(settings, [PROBES]), SystemClock())
        self.source.open()
        self._decoders = {name: DECODERS["exchanges"]() for name in probes}
        self._made: list[Batch] = []

    def count(self, **where: object) -> int:
        return sum(int(matching(batch, where).sum()) for batch in self._of_requests(where))

    def texts(self, column: str, **where: object) -> list[str]:
        """Of all these requests, as they came."""
        found = []
        for batch in self._of_requests(where):
            names = batch.schema.field(column).names
            found += [names[number] for number in batch[column][matching(batch, where)].tolist()]
        return found

    def _of_requests(self, where: Mapping[str, object]) -> list[Batch]:
        """But those that were made before any of these words was heard."""
        self._read()
        words = [(name, word) for name, word in where.items() if isinstance(word, str)]
        made = [batch for batch in self._made if batch.schema.record == "request"]
        return [batch for batch in made if all(word in batch.schema.field(name).names.values() for name, word in words)]

    def _read(self) -> None:
        for batch in self.source.read():
            self._made += self._decoders[batch.schema.probe].decode(batch)
