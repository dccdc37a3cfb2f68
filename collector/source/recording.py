"""Recordings: raw batches with their schemas in one compressed file, to be replayed anywhere without root.

Frames (collector/source/frames.py): start {version, kernel, recorded_at, probes}, batch {probe, record, kind, count,
offset_ns, boot_ns} with the rows as payload, books {books}, end {}. A file cut short is replayed up to the cut.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from collector.accounts import Book
from collector.batch import Batch
from collector.catalog.probe_model import ProbeModel
from collector.errors import RecordingError
from collector.source.frames import MAGIC, pack_frame
from collector.source.recorded_schema import describe_probe


class RecordingWriter:
    """Open from construction until close(); RecordingError when the file cannot be written (further)."""

    def __init__(self, path: Path, probes: list[ProbeModel], kernel: str, recorded_at: float) -> None:
        self._path = path
        self.rows = 0
        with self._failure_reported():
            self._file = gzip.open(path, "wb", compresslevel=6)  # noqa: SIM115 -- closed by close()
            self._file.write(MAGIC)
        described = [describe_probe(probe) for probe in probes]
        self._write({"type": "start", "version": 1, "kernel": kernel, "recorded_at": recorded_at, "probes": described})

    @contextmanager
    def _failure_reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordingError(f"{self._path} cannot be written: {error.strerror}.", "Choose another place with -o.") from None

    def _write(self, header: dict[str, Any], payload: bytes = b"") -> None:
        with self._failure_reported():
            self._file.write(pack_frame(header, payload))

    def write_batch(self, batch: Batch, offset_ns: int, boot_ns: int) -> None:
        """offset_ns: unix time minus boot time; boot_ns: when the batch was read."""
        self.rows += len(batch)
        header = {"type": "batch", "probe": batch.schema.probe, "record": batch.schema.record, "kind": batch.kind.value}
        self._write({**header, "count": len(batch), "offset_ns": offset_ns, "boot_ns": boot_ns}, batch.rows.tobytes())

    def write_books(self, books: list[Book]) -> None:
        self._write({"type": "books", "books": [asdict(book) for book in books]})

    def close(self) -> None:
        """What was written is on its way to the disk then."""
        try:
            self._write({"type": "end"})
        finally:
            with self._failure_reported():
                self._file.close()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
