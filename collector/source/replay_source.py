"""A recording as a source: the same batches, the same order, no kernel and no root."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from collector.accounts import Book
from collector.batch import Batch
from collector.catalog.probe_model import ProbeModel
from collector.clock import FixedClock
from collector.errors import RecordingError
from collector.probe_status import HookStatus, ProbeState, ProbeStatus
from collector.source.frames import Frame, read_frames
from collector.source.recorded_schema import FAULTS, add_names, read_batch, read_book, read_probes, read_schema

log = logging.getLogger(__name__)
FRAMES_PER_READ = 64
VERSIONS = (1, 2)
CLOCK_LIMIT_NS = 1 << 63


class ReplaySource:
    """The clock is moved to where the recording is.

    undecodable: frames that did not fit their schema, left out. complete: the recording was read to its proper end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: Iterator[Frame] = iter(())
        self._books: list[Book] = []
        self.clock = FixedClock(0)
        self.probes: list[ProbeModel] = []
        self.undecodable = 0
        self.finished = False
        self.complete = False
        self.kernel = ""
        self.recorded_at = 0.0

    def open(self) -> None:
        """RecordingError when the file is no recording."""
        self._frames = read_frames(self._path)
        header, _ = next(self._frames, ({}, b""))
        if header.get("type") != "start" or header.get("version") not in VERSIONS:
            raise RecordingError(f"{self._path} does not begin as a recording of version 1 or 2 does.", "Record it again.")
        self.probes = read_probes(header)
        self.kernel = str(header.get("kernel", ""))
        recorded_at = header.get("recorded_at")
        self.recorded_at = float(recorded_at) if isinstance(recorded_at, float | int) else 0.0

    def read(self) -> list[Batch]:
        """The next batches that were read together or shortly after one another; [] and `finished` at the end.

        Damage ends the recording: what follows it cannot be found.
        """
        batches: list[Batch] = []
        for _ in range(FRAMES_PER_READ):
            header, payload = self._next_frame()
            if header.get("type") == "batch":
                batches += self._read_batch(header, payload)
            elif header.get("type") == "books":
                self._read_books(header)
            elif header.get("type") in ("schema", "words"):
                self._learn(header)
            elif header.get("type") == "end":
                self.complete = True
            if self.finished:
                break
        return batches

    def _next_frame(self) -> Frame:
        try:
            frame = next(self._frames, None)
        except RecordingError as error:
            log.warning("the recording ends before its time: %s", error.cause)
            self.undecodable += 1
            frame = None
        if frame is not None:
            return frame
        if not self.complete:
            log.warning("%s was cut short: this is what there is of it", self._path)
        self.finished = True
        return {}, b""

    def _read_batch(self, header: dict[str, Any], payload: bytes) -> list[Batch]:
        try:
            probe = next((probe for probe in self.probes if probe.name == header["probe"]), None)
            if probe is None:
                raise RecordingError(f"no probe is called {header['probe']}.")
            batch = read_batch(header, payload, probe.schemas[header["record"]])
            boot_ns, offset_ns = int(header["boot_ns"]), int(header["offset_ns"])
            if not (0 <= boot_ns < CLOCK_LIMIT_NS and 0 <= boot_ns + offset_ns < CLOCK_LIMIT_NS):
                raise RecordingError(f"no clock stands at {boot_ns} + {offset_ns} ns.")
        except (RecordingError, *FAULTS) as error:
            self.undecodable += 1
            log.warning("a batch of the recording is left out: %s", error)
            return []
        self.clock.now_boot_ns = boot_ns
        self.clock.move(offset_ns)
        return [batch]

    def _read_books(self, header: dict[str, Any]) -> None:
        try:
            self._books = [read_book(entry) for entry in header["books"]]
        except FAULTS as error:
            self.undecodable += 1
            log.warning("the books of the recording are left out: %s", error)

    def _learn(self, header: dict[str, Any]) -> None:
        """What a decoder's records look like, and further words of their fields."""
        try:
            probe = next(probe for probe in self.probes if probe.name == header["probe"])
            record = next(
                record.struct for record in probe.manifest.record if record.struct == header["record"] and record.derived
            )
            if header["type"] == "schema":
                probe.schemas[record] = read_schema(probe.name, record, header["schema"])
            else:
                add_names(probe.schemas[record], header)
        except (StopIteration, *FAULTS) as error:
            self.undecodable += 1
            log.warning("what the recording says about its rows is left out: %s", error)

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        return None

    def books(self) -> list[Book]:
        """As they stood when the recording was made."""
        return self._books

    def statuses(self) -> list[ProbeStatus]:
        return [
            ProbeStatus(
                probe.name,
                probe.manifest.question,
                ProbeState.REPLAYED,
                tuple(HookStatus(hook.purpose, hook.alternatives[0], "recording") for hook in probe.manifest.hook),
            )
            for probe in self.probes
        ]

    def fills(self) -> dict[tuple[str, str], float]:
        return {}

    def close(self) -> None:
        self._frames = iter(())
