"""Recordings: raw batches with their schemas in one compressed file, to be replayed anywhere without root.

Frames (collector/source/frames.py): start {version, kernel, recorded_at, probes}, batch {probe, record, kind, count,
offset_ns, boot_ns} with the rows as payload, books {books}, end {}. Records that a decoder made have a schema {probe, record,
schema} before their first rows, and words {probe, record, field, names} before rows with new ones (version 2). A file cut
short is replayed up to the cut.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from collector.accounts import Book
from collector.batch import Batch, Schema
from collector.catalog.probe_model import ProbeModel
from collector.errors import RecordingError
from collector.source.frames import MAGIC, pack_frame
from collector.source.recorded_schema import describe_probe, describe_schema

VERSION = 2


class RecordingWriter:
    """Open from construction until close(); RecordingError when the file cannot be written (further)."""

    def __init__(self, path: Path, probes: list[ProbeModel], kernel: str, recorded_at: float) -> None:
        self._path = path
        self.rows = 0
        self._described = {(probe.name, record) for probe in probes for record in probe.schemas}
        self._made: dict[tuple[str, str], tuple[Schema, dict[str, int]]] = {}
        with self._failure_reported():
            self._file = gzip.open(path, "wb", compresslevel=6)  # noqa: SIM115 -- closed by close()
            self._file.write(MAGIC)
        described = [describe_probe(probe) for probe in probes]
        self._write({"type": "start", "version": VERSION, "kernel": kernel, "recorded_at": recorded_at, "probes": described})

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
        """offset_ns: unix time minus boot time; boot_ns: when the batch was read. Only the rows, no added columns."""
        self.rows += len(batch)
        if (batch.schema.probe, batch.schema.record) not in self._described:
            self._describe(batch.schema)
        header = {"type": "batch", "probe": batch.schema.probe, "record": batch.schema.record, "kind": batch.kind.value}
        self._write({**header, "count": len(batch), "offset_ns": offset_ns, "boot_ns": boot_ns}, batch.rows.tobytes())

    def _describe(self, schema: Schema) -> None:
        """The schema of a record that a decoder made, at first; afterwards the words that its fields have learnt since."""
        place = {"probe": schema.probe, "record": schema.record}
        known, written = self._made.get((schema.probe, schema.record), (None, {}))
        sizes = {field.name: len(field.names) for field in schema.fields}
        if known is not schema:
            self._write({"type": "schema", **place, "schema": describe_schema(schema)})
        else:
            for field in schema.fields:
                if sizes[field.name] > written[field.name]:
                    new = itertools.islice(field.names.items(), written[field.name], None)
                    names = {str(number): name for number, name in new}
                    self._write({"type": "words", **place, "field": field.name, "names": names})
        self._made[(schema.probe, schema.record)] = schema, sizes

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
