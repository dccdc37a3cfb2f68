"""A recording as a source: the same batches, the same order, no kernel and no root."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collector.accounts import Book
from collector.batch import Batch
from collector.catalog.probe_model import ProbeModel
from collector.clock import FixedClock
from collector.errors import RecordingError
from collector.probe_status import HookStatus, ProbeState, ProbeStatus
from collector.source.recording import Frame, read_batch, read_frames, read_probes

log = logging.getLogger(__name__)
FRAMES_PER_READ = 64


class ReplaySource:
    """The clock is moved to where the recording is. undecodable: frames that did not fit their schema, left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: Iterator[Frame] = iter(())
        self._books: list[Book] = []
        self.clock = FixedClock(0)
        self.probes: list[ProbeModel] = []
        self.undecodable = 0
        self.finished = False
        self.kernel = ""
        self.recorded_at = 0.0

    def open(self) -> None:
        """RecordingError when the file is no recording."""
        self._frames = read_frames(self._path)
        header, _ = next(self._frames, ({}, b""))
        if header.get("type") != "start" or header.get("version") != 1:
            raise RecordingError(f"{self._path} does not begin as a recording of version 1 does.", "Record it again.")
        self.kernel = str(header.get("kernel", ""))
        self.recorded_at = float(header.get("recorded_at", 0))
        self.probes = read_probes(header)

    def read(self) -> list[Batch]:
        """The next batches that were read together or shortly after one another; [] and `finished` at the end."""
        batches: list[Batch] = []
        for _ in range(FRAMES_PER_READ):
            frame = next(self._frames, None)
            if frame is None:
                self.finished = True
                break
            header, payload = frame
            if header.get("type") == "batch":
                batches += self._read_batch(header, payload)
            elif header.get("type") == "books":
                self._books = [Book(**book) for book in header["books"]]
        return batches

    def _read_batch(self, header: dict[str, Any], payload: bytes) -> list[Batch]:
        try:
            probe = next(probe for probe in self.probes if probe.name == header["probe"])
            batch = read_batch(header, payload, probe.schemas[header["record"]])
        except (RecordingError, KeyError, StopIteration) as error:
            self.undecodable += 1
            log.warning("a batch of the recording is left out: %s", error)
            return []
        self.clock.now_boot_ns = int(header["boot_ns"])
        self.clock.move(int(header["offset_ns"]))
        return [batch]

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
