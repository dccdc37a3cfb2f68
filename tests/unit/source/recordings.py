"""Recordings made here: of the sample probe, with rows of every kind of field."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from collector.accounts import Book
from collector.batch import Batch, BatchKind, Rows
from collector.catalog.probe_folder import Probe, read_probe
from collector.source.frames import MAGIC, pack_frame
from collector.source.recorded_schema import describe_probe
from collector.source.recording import RecordingWriter

SAMPLE: Probe = read_probe(Path(__file__).resolve().parents[2] / "data/sample_probe", None)
TICK, BUCKET = SAMPLE.schemas["tick"], SAMPLE.schemas["bucket"]
BOOK = Book("sample", "ticks", 9, 6, 1, 0, {"ring_full": 2}, True, 5, 1, 3)
OFFSET_NS, BOOT_NS = 1_790_000_000_000_000_000, 5_000_000_000
START = {"type": "start", "version": 1, "kernel": "6.18.0", "recorded_at": 1.5, "probes": [describe_probe(SAMPLE.model)]}


def tick_rows(count: int, seed: int = 1) -> Rows:
    """Rows of random bytes, as any field can hold; the flag is 0 or 1."""
    octets = np.random.default_rng(seed).integers(0, 256, (count, TICK.dtype.itemsize), np.uint8)
    rows: Rows = octets.reshape(-1).view(TICK.dtype)
    rows["last"] = np.arange(count) % 2
    return rows


def batches() -> list[Batch]:
    buckets = np.array([(5, 80, 0, 30, 6, 3), (6, 443, 7, 9, 15, 2)], BUCKET.dtype)
    return [
        Batch(TICK, BatchKind.EVENTS, tick_rows(40)),
        Batch(BUCKET, BatchKind.SNAPSHOT, buckets),
        Batch(BUCKET, BatchKind.SNAPSHOT, buckets[:0]),
        Batch(TICK, BatchKind.EVENTS, tick_rows(3, seed=2)),
    ]


def write_sample(path: Path) -> Path:
    with RecordingWriter(path, [SAMPLE.model], "6.18.0", 1.5) as writer:
        for number, batch in enumerate(batches()):
            writer.write_batch(batch, OFFSET_NS, BOOT_NS + number)
            writer.write_books([BOOK])
    return path


def write_frames(path: Path, *frames: tuple[dict[str, Any], bytes]) -> Path:
    """A well-formed file around frames of any content."""
    path.write_bytes(gzip.compress(MAGIC + b"".join(pack_frame(header, payload) for header, payload in frames)))
    return path
