"""Recordings: raw batches with their schemas in one compressed file, to be replayed anywhere without root.

Inside gzip: the line MAGIC, then frames {u32 length of header, header as JSON, u64 length of payload, payload}. Headers:
start {version, kernel, recorded_at, probes}, batch {probe, record, kind, count, offset_ns, boot_ns} with the rows as
payload, books {books}, end {}. A file cut short is replayed up to the cut.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from collector.accounts import Book
from collector.batch import Batch, BatchKind, Field, Schema
from collector.catalog.manifest import Manifest
from collector.catalog.probe_model import ProbeModel
from collector.errors import RecordingError

MAGIC = b"honeyguide recording 1\n"
HEADER_LENGTH = struct.Struct("<I")
PAYLOAD_LENGTH = struct.Struct("<Q")
LONGEST_HEADER = 16 << 20
LONGEST_PAYLOAD = 1 << 30
Frame = tuple[dict[str, Any], bytes]


class RecordingWriter:
    """Open from construction until close(); RecordingError when the file cannot be written."""

    def __init__(self, path: Path, probes: list[ProbeModel], kernel: str, recorded_at: float) -> None:
        try:
            self._file = gzip.open(path, "wb", compresslevel=6)  # noqa: SIM115 -- closed by close()
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror}.", "Choose another place with -o.") from None
        self.rows = 0
        self._file.write(MAGIC)
        described = [describe_probe(probe) for probe in probes]
        self._write({"type": "start", "version": 1, "kernel": kernel, "recorded_at": recorded_at, "probes": described})

    def _write(self, header: dict[str, Any], payload: bytes = b"") -> None:
        text = json.dumps(header, separators=(",", ":")).encode()
        self._file.write(HEADER_LENGTH.pack(len(text)) + text + PAYLOAD_LENGTH.pack(len(payload)) + payload)

    def write_batch(self, batch: Batch, offset_ns: int, boot_ns: int) -> None:
        """offset_ns: unix time minus boot time; boot_ns: when the batch was read."""
        self.rows += len(batch)
        header = {"type": "batch", "probe": batch.schema.probe, "record": batch.schema.record, "kind": batch.kind.value}
        self._write({**header, "count": len(batch), "offset_ns": offset_ns, "boot_ns": boot_ns}, batch.rows.tobytes())

    def write_books(self, books: list[Book]) -> None:
        self._write({"type": "books", "books": [asdict(book) for book in books]})

    def close(self) -> None:
        self._write({"type": "end"})
        self._file.close()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_frames(path: Path) -> Iterator[Frame]:
    """(header, payload) one after the other; ends quietly where a file was cut, RecordingError when it is none of ours."""
    try:
        with gzip.open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise RecordingError(f"{path} is not a honeyguide recording (version 1).", "Make one: honeyguide record -o FILE")
            while frame := read_frame(file, path):
                yield frame
    except EOFError:
        return
    except (OSError, gzip.BadGzipFile) as error:
        raise RecordingError(f"{path} cannot be read: {error}.", "Make one: honeyguide record -o FILE") from None


def read_frame(file: gzip.GzipFile, path: Path) -> Frame | None:
    prefix = file.read(HEADER_LENGTH.size)
    if len(prefix) < HEADER_LENGTH.size:
        return None
    (length,) = HEADER_LENGTH.unpack(prefix)
    text = file.read(length) if length <= LONGEST_HEADER else b""
    size = file.read(PAYLOAD_LENGTH.size)
    if len(text) < length or len(size) < PAYLOAD_LENGTH.size or PAYLOAD_LENGTH.unpack(size)[0] > LONGEST_PAYLOAD:
        raise RecordingError(f"{path} is damaged.")
    (expected,) = PAYLOAD_LENGTH.unpack(size)
    payload = file.read(expected)
    try:
        header = json.loads(text)
    except ValueError:
        raise RecordingError(f"{path} is damaged.") from None
    return (header, payload) if len(payload) == expected else None


def describe_probe(probe: ProbeModel) -> dict[str, Any]:
    return {
        "name": probe.name,
        "manifest": probe.manifest.model_dump(mode="json", by_alias=True),
        "map_keys": {record: list(names) for record, names in probe.map_keys.items()},
        "schemas": {record: describe_schema(schema) for record, schema in probe.schemas.items()},
    }


def describe_schema(schema: Schema) -> dict[str, Any]:
    layout: Any = schema.dtype.fields or {}
    return {
        "itemsize": schema.dtype.itemsize,
        "fields": [
            {
                "name": entry.name,
                "format": layout[entry.name][0].base.str,
                "shape": list(layout[entry.name][0].shape),
                "offset": layout[entry.name][1],
                "meaning": entry.meaning,
                "names": {str(number): name for number, name in entry.names.items()},
            }
            for entry in schema.fields
        ],
    }


def read_probes(header: dict[str, Any]) -> list[ProbeModel]:
    """RecordingError when the start frame does not describe probes as this version writes them."""
    try:
        return [
            ProbeModel(
                entry["name"],
                Manifest.model_validate(entry["manifest"]),
                {record: read_schema(entry["name"], record, text) for record, text in entry["schemas"].items()},
                {record: tuple(names) for record, names in entry["map_keys"].items()},
            )
            for entry in header["probes"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"The recording describes its probes in a way this version does not know: {error}.") from None


def read_schema(probe: str, record: str, text: dict[str, Any]) -> Schema:
    fields = text["fields"]
    layout = {
        "names": [entry["name"] for entry in fields],
        "formats": [(entry["format"], tuple(entry["shape"])) if entry["shape"] else entry["format"] for entry in fields],
        "offsets": [entry["offset"] for entry in fields],
        "itemsize": text["itemsize"],
    }
    meanings = [Field(one["name"], one["meaning"], {int(k): v for k, v in one["names"].items()}) for one in fields]
    return Schema(probe, record, np.dtype(layout), tuple(meanings))  # type: ignore[call-overload]


def read_batch(header: dict[str, Any], payload: bytes, schema: Schema) -> Batch:
    """RecordingError when the payload is not a whole number of rows."""
    if len(payload) != header["count"] * schema.dtype.itemsize:
        raise RecordingError(f"The recording is damaged: {len(payload)} bytes are not {header['count']} rows of {schema.record}.")
    return Batch(schema, BatchKind(header["kind"]), np.frombuffer(payload, schema.dtype).copy())
