"""What the source of translated connections says where it cannot run."""

from __future__ import annotations

import errno
from pathlib import Path

from conntrack_bytes import RECORDED

from collector.address_translation import SCHEMA
from collector.batch import Batch, BatchKind
from collector.clock import FixedClock
from collector.probe_status import ProbeState
from collector.source.conntrack_messages import read_messages
from collector.source.conntrack_socket import inode_of, refusal
from collector.source.conntrack_source import MODEL, NOT_TRACKING, TRY_AGAIN_AFTER_NS, ConntrackSource
from collector.source.recorded_schema import describe_probe, read_probe
from collector.source.recording import RecordingWriter
from collector.source.replay_source import ReplaySource


def test_where_nothing_tracks_connections_it_waits_and_says_so(tmp_path: Path) -> None:
    clock = FixedClock(0)
    source = ConntrackSource(clock, tracking=tmp_path / "absent")
    source.open()
    for _ in range(2):
        assert source.read() == []
        [status] = source.statuses()
        assert (status.state, status.notes) == (ProbeState.RUNNING, (NOT_TRACKING,))
        clock.now_boot_ns += 2 * TRY_AGAIN_AFTER_NS
    source.close()


def test_switched_off_it_opens_nothing(tmp_path: Path) -> None:
    source = ConntrackSource(FixedClock(0), tmp_path / "absent", tmp_path, enabled=False)
    source.open()
    assert source.statuses()[0].state is ProbeState.DISABLED
    assert (source.read(), source.books()) == ([], [])


def test_a_namespace_that_cannot_be_opened_is_said_with_a_remedy(tmp_path: Path) -> None:
    source = ConntrackSource(FixedClock(0), tmp_path / "absent", tmp_path)
    source.open()
    [status] = source.statuses()
    assert status.state is ProbeState.DISABLED
    assert "No such file" in status.cause
    assert "hostNetwork" in status.remedy
    assert source.read() == []


def test_events_that_are_switched_off_are_noticed(tmp_path: Path) -> None:
    source = ConntrackSource(FixedClock(0), tracking=tmp_path / "nf_conntrack_max")
    for content, silent in (("0\n", True), ("2\n", False)):
        (tmp_path / "nf_conntrack_events").write_text(content)
        assert source._is_silent() is silent


def test_a_missing_privilege_and_a_missing_module_are_told_apart() -> None:
    assert "CAP_NET_ADMIN" in refusal(errno.EPERM).remedy
    assert "nf_conntrack_netlink" in refusal(errno.EINVAL).remedy


def test_the_number_of_a_namespace_that_may_not_be_seen_is_zero(tmp_path: Path) -> None:
    assert inode_of(tmp_path / "absent") == 0


def test_a_recording_describes_it_like_any_probe() -> None:
    assert read_probe(describe_probe(MODEL)) == MODEL


def test_a_recording_gives_translations_back(tmp_path: Path) -> None:
    rows = read_messages([RECORDED]).rows
    rows["observed_at"] = 7
    with RecordingWriter(tmp_path / "nat.recording", [MODEL], "6.18", 0.0) as writer:
        writer.write_batch(Batch(SCHEMA, BatchKind.EVENTS, rows), 0, 7)
    replay = ReplaySource(tmp_path / "nat.recording")
    replay.open()
    batches: list[Batch] = []
    while not replay.finished:
        batches += replay.read()
    replay.close()
    assert [batch.rows.tolist() for batch in batches] == [rows.tolist()]
    assert replay.probes[0].manifest.record[0].feeds == "translations"
