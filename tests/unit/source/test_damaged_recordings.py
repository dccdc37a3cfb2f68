"""Whatever is in the file: a RecordingError, or a shorter replay that says so. Nothing else, and no memory for claims."""

from __future__ import annotations

import copy
import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import OFFSET_NS, START, batches, tick_rows, write_frames, write_sample

from collector.batch import Batch
from collector.errors import RecordingError
from collector.source.frames import HEADER_LENGTH, MAGIC, PAYLOAD_LENGTH, pack_frame
from collector.source.replay_source import ReplaySource

OFTEN = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BATCH = {
    "type": "batch",
    "probe": "sample_probe",
    "record": "tick",
    "kind": "events",
    "count": 2,
    "offset_ns": OFFSET_NS,
    "boot_ns": 5,
}
ROWS = tick_rows(2).tobytes()


def replay(path: Path) -> tuple[list[Batch], ReplaySource]:
    source = ReplaySource(path)
    source.open()
    found: list[Batch] = []
    while not source.finished:
        found += source.read()
    source.close()
    return found, source


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_sample(tmp_path_factory.mktemp("recordings") / "whole").read_bytes()


def beginning(found: list[Batch]) -> bool:
    """Whether these batches are the first of those that were recorded."""
    pairs = zip(found, batches(), strict=False)
    return len(found) <= 4 and all(np.array_equal(came.rows, made.rows) for came, made in pairs)


@OFTEN
@given(data=st.data())
def test_file_cut_anywhere_is_replayed_up_to_the_cut(whole: bytes, tmp_path: Path, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(whole) - 9))  # the last eight bytes are gzip's checksum
    (tmp_path / "cut").write_bytes(whole[:length])
    try:
        found, source = replay(tmp_path / "cut")
    except RecordingError as error:
        assert "cut" in error.cause
    else:
        assert beginning(found)
        assert len(found) == 4 or not source.complete


@OFTEN
@given(data=st.data())
def test_content_cut_anywhere_is_replayed_up_to_the_cut(whole: bytes, tmp_path: Path, data: st.DataObject) -> None:
    content = gzip.decompress(whole)
    length = data.draw(st.integers(0, len(content) - 1))
    (tmp_path / "cut").write_bytes(gzip.compress(content[:length], 1))
    try:
        found, source = replay(tmp_path / "cut")
    except RecordingError as error:
        assert "cut" in error.cause
    else:
        assert beginning(found)
        assert not source.complete


@OFTEN
@given(place=st.integers(0, 1 << 20), new=st.binary(min_size=1, max_size=4), inside=st.booleans())
def test_damaged_bytes_give_an_error_or_a_replay(whole: bytes, tmp_path: Path, place: int, new: bytes, inside: bool) -> None:
    content = bytearray(gzip.decompress(whole) if inside else whole)
    content[place % len(content) : place % len(content) + len(new)] = new
    (tmp_path / "damaged").write_bytes(gzip.compress(bytes(content), 1) if inside else bytes(content))
    try:
        found, _ = replay(tmp_path / "damaged")
    except RecordingError as error:
        assert error.cause
    else:
        assert len(found) <= 4


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x1f\x8b", gzip.compress(b""), gzip.compress(b"honeyguide recording 2\n"), gzip.compress(MAGIC)]
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(RecordingError):
        ReplaySource(tmp_path / "file").open()


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(RecordingError, match="cannot be read"):
            ReplaySource(path).open()


@pytest.mark.parametrize("first", [{"type": "start", "version": 3, "probes": []}, {"type": "batch"}, {}])
def test_another_version_is_refused(tmp_path: Path, first: dict[str, Any]) -> None:
    with pytest.raises(RecordingError, match="does not begin as a recording of version 1 or 2"):
        ReplaySource(write_frames(tmp_path / "file", (first, b""))).open()


@pytest.mark.parametrize(
    "frame",
    [
        HEADER_LENGTH.pack(0xFFFFFFFF),
        HEADER_LENGTH.pack(16 << 20) + b"{",
        HEADER_LENGTH.pack(2) + b"{}" + PAYLOAD_LENGTH.pack((1 << 64) - 1),
        HEADER_LENGTH.pack(2) + b"{}" + PAYLOAD_LENGTH.pack(1 << 30) + b"x",
        HEADER_LENGTH.pack(2) + b"[]" + PAYLOAD_LENGTH.pack(0),
        HEADER_LENGTH.pack(100_000) + b"[" * 100_000 + PAYLOAD_LENGTH.pack(0),
    ],
)
def test_lengths_that_are_only_claimed_take_no_memory(tmp_path: Path, frame: bytes) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(MAGIC + pack_frame(START) + pack_frame(BATCH, ROWS) + frame))
    tracemalloc.start()
    try:
        found, source = replay(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert len(found) == 1
    assert not source.complete


@pytest.mark.parametrize(
    "change",
    [
        {"probe": "other"}, {"record": "other"}, {"record": ["tick"]}, {"kind": "rumours"}, {"count": 3}, {"count": "two"},
        {"count": None}, {"boot_ns": "soon"}, {"boot_ns": -1}, {"boot_ns": 1 << 63}, {"offset_ns": -6}, {"offset_ns": 1e300},
    ],
)  # fmt: skip
def test_batch_that_does_not_fit_is_left_out_and_counted(tmp_path: Path, change: dict[str, Any]) -> None:
    lacking = {key: value for key, value in BATCH.items() if key not in change}
    frames = [(BATCH, ROWS), ({**BATCH, **change}, ROWS), (lacking, ROWS)]
    found, source = replay(write_frames(tmp_path / "file", (START, b""), *frames, (BATCH, ROWS), ({"type": "end"}, b"")))
    assert (len(found), source.undecodable, source.complete) == (2, 2, True)


@pytest.mark.parametrize("books", [None, 3, [3], [{}], [{"probe": "sample"}], {"seen": 1}])
def test_books_that_are_none_are_left_out_and_counted(tmp_path: Path, books: object) -> None:
    frames: list[tuple[dict[str, Any], bytes]] = [
        ({"type": "books", "books": books}, b""),
        ({"type": "books"}, b""),
        ({"type": "novel"}, b""),
    ]
    _, source = replay(write_frames(tmp_path / "file", (START, b""), *frames))
    assert (source.books(), source.undecodable) == ([], 2)


def edits() -> list[tuple[list[str | int], object]]:
    field: list[str | int] = ["probes", 0, "schemas", "tick", "fields", 0]
    return [
        (["probes"], None), (["probes"], {"a": 1}), (["probes", 0], "sample"), (["probes", 0, "manifest"], {}),
        (["probes", 0, "manifest", "metric", 0, "value"], "nonsense"), (["probes", 0, "schemas"], []),
        (["probes", 0, "schemas"], {}), (["probes", 0, "map_keys"], {"bucket": ["nothing"]}),
        (["probes", 0, "map_keys"], {"nobody": ["port"]}), (["probes", 0, "map_keys"], 3),
        (["probes", 0, "schemas", "tick", "itemsize"], 4), (["probes", 0, "schemas", "tick", "itemsize"], 1 << 40),
        ([*field, "format"], "O"), ([*field, "format"], "<f8,O"), ([*field, "format"], 8), ([*field, "offset"], -8),
        ([*field, "offset"], 1 << 40), ([*field, "shape"], [1 << 40]), ([*field, "shape"], "wide"),
        ([*field, "names"], {"one": "x"}), ([*field, "names"], None), ([*field, "name"], 3), ([*field, "name"], "opened_at"),
    ]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), edits())
def test_probe_described_wrongly_is_refused(tmp_path: Path, place: list[Any], value: object) -> None:
    start: Any = copy.deepcopy(START)
    inner = start
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(RecordingError):
        replay(write_frames(tmp_path / "file", (start, b"")))


def test_time_of_recording_that_is_no_number_is_not_known(tmp_path: Path) -> None:
    _, source = replay(write_frames(tmp_path / "file", ({**START, "recorded_at": "yesterday"}, b""), (BATCH, ROWS)))
    assert source.recorded_at == 0.0
