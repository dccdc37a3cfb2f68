"""What `honeyguide record` writes: raw rows as they are; of what applications sent each other only the requests that it makes.

These have nothing secret in them: a recording is given away.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from collector.batch import Batch
from collector.catalog.probe_model import ProbeModel
from collector.clock import Clock
from collector.decode import DECODERS, Decoder, SteeringDecoder
from collector.source.interface import Source
from collector.source.recording import RecordingWriter

BOOKS_SECONDS = 2.0
PAUSE_SECONDS = 0.1


@dataclass(slots=True)
class Recorder:
    """probes: those of the source. Raises RecordingError when the file cannot be written any more."""

    source: Source
    probes: Sequence[ProbeModel]
    writer: RecordingWriter
    clock: Clock
    _decoders: dict[tuple[str, str], tuple[str, Decoder]] = field(default_factory=dict)
    _payload: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """One decoder for all records of a probe that name it, as in the pipeline; raw rows need none."""
        made: dict[tuple[str, str], Decoder] = {}
        for probe in self.probes:
            for record in probe.manifest.record:
                if record.payload and record.decoder:
                    place = (probe.name, record.decoder)
                    made[place] = made.get(place) or DECODERS[record.decoder]()
                    self._decoders[(probe.name, record.struct)] = probe.name, made[place]
        self._payload = {(probe.name, one.struct) for probe in self.probes for one in probe.manifest.record if one.payload}

    def run(self, stop: threading.Event, wait: Callable[[float], None], end: float) -> None:
        """Until `end` (monotonic seconds) or until told to stop. wait: for something to write, at most so many seconds."""
        next_books = 0.0
        while not stop.is_set() and time.monotonic() < end:
            self.drain()
            if time.monotonic() >= next_books:
                next_books = time.monotonic() + BOOKS_SECONDS
                self.writer.write_books(list(self.source.books()))
                print(f"\r{self.writer.rows} rows", end="", file=sys.stderr, flush=True)
            wait(PAUSE_SECONDS)
        print(file=sys.stderr)
        self.writer.write_books(list(self.source.books()))

    def drain(self) -> None:
        """Writes all that came since the last call."""
        for batch in self.source.read():
            for part in self._parts(batch):
                self._write(part)
        for decoder in self._all_decoders():
            for expired in decoder.expire(self.clock.boot_ns()):
                self._write(expired)
        self._steer()

    def _parts(self, batch: Batch) -> Sequence[Batch]:
        place = (batch.schema.probe, batch.schema.record)
        if place not in self._payload:
            return [batch]
        return self._decoders[place][1].decode(batch) if place in self._decoders else []

    def _write(self, batch: Batch) -> None:
        self.writer.write_batch(batch, self.clock.offset_ns, self.clock.boot_ns())

    def _all_decoders(self) -> Iterator[Decoder]:
        return iter({id(decoder): decoder for _, decoder in self._decoders.values()}.values())

    def _steer(self) -> None:
        """As in the agent: the kernel half learns how each connection is to be looked at."""
        modes: dict[str, dict[int, int]] = {}
        for probe, decoder in self._decoders.values():
            if isinstance(decoder, SteeringDecoder):
                for decision in decoder.take_decisions():
                    modes.setdefault(probe, {})[decision.flow] = decision.mode
        for probe, wanted in modes.items():
            self.source.steer(probe, wanted)
