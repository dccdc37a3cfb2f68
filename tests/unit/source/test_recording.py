from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import BOOK, BOOT_NS, OFFSET_NS, SAMPLE, batches, write_sample

from collector.batch import Batch
from collector.errors import RecordingError
from collector.probe_status import ProbeState
from collector.source.recording import RecordingWriter
from collector.source.replay_source import FRAMES_PER_READ, ReplaySource


def read_all(source: ReplaySource) -> list[Batch]:
    found = []
    while not source.finished:
        found += source.read()
    return found


@pytest.fixture
def source(tmp_path: Path) -> ReplaySource:
    opened = ReplaySource(write_sample(tmp_path / "node.recording"))
    opened.open()
    return opened


def test_rows_of_every_dtype_come_back_equal(source: ReplaySource) -> None:
    for came, made in zip(read_all(source), batches(), strict=True):
        assert came.schema == made.schema
        assert came.kind is made.kind
        assert came.rows.dtype == made.rows.dtype
        for name in made.rows.dtype.names or ():
            np.testing.assert_array_equal(came.rows[name], made.rows[name])
    assert (source.complete, source.undecodable) == (True, 0)


def test_rows_that_come_back_can_be_changed(source: ReplaySource) -> None:
    batch = source.read()[0]
    batch.rows["plain"] = 7
    assert set(batch["plain"].tolist()) == {7}


def test_probes_come_back_with_manifest_and_map_keys(source: ReplaySource) -> None:
    assert source.probes == [SAMPLE.model]
    assert (source.kernel, source.recorded_at) == ("6.18.0", 1.5)


def test_clock_stands_where_the_recording_is(source: ReplaySource) -> None:
    read_all(source)
    assert (source.clock.boot_ns(), source.clock.offset_ns) == (BOOT_NS + 3, OFFSET_NS)


def test_books_and_statuses_are_those_of_the_recording(source: ReplaySource) -> None:
    read_all(source)
    assert source.books() == [BOOK]
    status = source.statuses()[0]
    assert (status.probe, status.state, len(status.hooks)) == ("sample_probe", ProbeState.REPLAYED, 2)


def test_long_recording_is_read_piece_by_piece(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "long", [SAMPLE.model], "", 0.0) as writer:
        for number in range(3 * FRAMES_PER_READ):
            writer.write_batch(batches()[0], OFFSET_NS, number)
    assert writer.rows == 3 * FRAMES_PER_READ * 40
    source = ReplaySource(tmp_path / "long")
    source.open()
    assert len(source.read()) == FRAMES_PER_READ
    assert not source.finished
    assert len(read_all(source)) == 2 * FRAMES_PER_READ


def test_closed_source_lets_go_of_its_file(source: ReplaySource, tmp_path: Path) -> None:
    source.close()
    assert source.read() == []
    assert source.finished


def test_file_that_cannot_be_made_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="missing/node cannot be written: No such file"):
        RecordingWriter(tmp_path / "missing/node", [], "", 0.0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_an_error_not_a_crash() -> None:
    writer = RecordingWriter(Path("/dev/full"), [SAMPLE.model], "", 0.0)
    with pytest.raises(RecordingError, match="/dev/full cannot be written: No space left"):
        for _ in range(1000):
            writer.write_batch(batches()[0], OFFSET_NS, 1)
    with pytest.raises(RecordingError):
        writer.close()
