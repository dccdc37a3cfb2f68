"""What waits is bounded, oldest goes first, and every row is accounted for; a folder outlives the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.export import clickhouse_spool
from collector.export.clickhouse_spool import OBJECT_BYTES, Parcel, Spool


def parcel(number: int, size: int = 1000, rows: int = 10) -> Parcel:
    return Parcel("flows", number, rows, 5, 6, "modern", size, bytes([number]) * size)


def numbers(spool: Spool) -> list[int]:
    found = []
    while (one := spool.take(0)) is not None:
        found.append(one.number)
        assert one.body == bytes([one.number]) * 1000
        spool.forget(one)
    return found


def test_what_is_over_the_limit_goes_oldest_first_and_is_counted() -> None:
    spool = Spool(3 * (1000 + OBJECT_BYTES))
    for number in range(1, 6):
        spool.put(parcel(number))
    assert dict(spool.discarded) == {"spool_full": 20}
    assert (spool.rows, spool.bytes) == (30, 3 * (1000 + OBJECT_BYTES))
    assert numbers(spool) == [3, 4, 5]
    assert (spool.rows, spool.bytes) == (0, 0)


def test_what_could_not_be_sent_comes_first_again() -> None:
    spool = Spool(2 * (1000 + OBJECT_BYTES))
    spool.put(parcel(1))
    spool.put(parcel(2))
    first = spool.take(0)
    assert first is not None
    spool.put_back(first)
    first = spool.take(0)
    assert first is not None
    spool.put(parcel(3))  # what is under way takes its room: the oldest of those that wait goes
    spool.put_back(first)
    assert numbers(spool) == [1, 3]
    assert dict(spool.discarded) == {"spool_full": 10}


def test_without_a_folder_what_waits_at_the_end_is_counted() -> None:
    spool = Spool(10_000)
    spool.put(parcel(1))
    spool.close()
    assert dict(spool.discarded) == {"closing": 10}


def test_a_folder_keeps_what_waits_for_the_next_run(tmp_path: Path) -> None:
    spool = Spool(1 << 20, tmp_path / "spool")
    for number in (1, 2, 3):
        spool.put(parcel(number))
    spool.close()
    assert dict(spool.discarded) == {}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()} == {0o600}
    later = Spool(1 << 20, tmp_path / "spool")
    assert later.rows == 30
    first = later.take(0)
    assert first is not None
    assert (first.number, first.doubtful, first.rows, first.first_time, first.last_time) == (1, True, 10, 5, 6)
    later.forget(first)
    later.put(parcel(4))
    assert numbers(later) == [2, 3, 4]
    assert list((tmp_path / "spool").iterdir()) == []


def test_memory_stays_small_beside_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_spool, "IN_MEMORY_BESIDE_FOLDER", 2500)
    spool = Spool(10 * (1000 + OBJECT_BYTES), tmp_path)
    for number in range(1, 21):
        spool.put(parcel(number))
    assert sum(one.size for one in spool._parcels if one.body is not None) <= 2500
    assert dict(spool.discarded) == {"spool_full": 100}
    in_memory = sum(one.body is not None for one in spool._parcels)
    assert len(list(tmp_path.iterdir())) + in_memory == 10
    assert numbers(spool) == list(range(11, 21))


def test_files_of_others_and_half_written_ones_are_let_alone_or_removed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / "00000000000000000001-flows.native.unfinished").write_text("half")
    (tmp_path / "00000000000000000001-flows-zz-1-1-1-modern.native.gz").write_text("no number")
    spool = Spool(1 << 20, tmp_path)
    assert spool.take(0) is None
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".gz", ".txt"]


def test_a_folder_that_fails_leaves_the_batch_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_spool, "IN_MEMORY_BESIDE_FOLDER", 0)
    spool = Spool(1 << 20, tmp_path / "spool")
    (tmp_path / "spool").rmdir()
    spool.put(parcel(1))
    assert numbers(spool) == [1]


def test_a_file_that_vanished_is_counted(tmp_path: Path) -> None:
    spool = Spool(1 << 20, tmp_path)
    spool.put(parcel(1))
    spool.close()
    later = Spool(1 << 20, tmp_path)
    next(tmp_path.iterdir()).unlink()
    assert later.take(0) is None
    assert dict(later.discarded) == {"spool_unreadable": 10}
