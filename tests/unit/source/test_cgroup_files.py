"""Cgroups from files: v2 directories by inode, v1 cgroups by process, and everything that can be wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.batch import Batch, Field, Schema
from collector.source.cgroup_files import CgroupFiles, cgroup_seed, find_cgroup2, own_v1_paths, unescape_octal

KINDS = ("existing", "created", "removed", "renamed", "attached")
SCHEMA = Schema(
    "process",
    "cgroup_event",
    np.dtype(
        [("observed_at", "<u8"), ("cgroup", "<u8"), ("hierarchy", "<u4"), ("process", "<u4"), ("event", "<u4"), ("path", "S64")]
    ),
    (Field("event", "cgroup_event_kind", dict(enumerate(KINDS))),),
)


class Tree:
    """A cgroup file system, a mount table and a proc file system, made of plain files."""

    def __init__(self, root: Path) -> None:
        self.mount, self.proc, self.mounts = root / "unified", root / "proc", root / "mountinfo"
        self.mount.mkdir()
        self.proc.mkdir()
        self.mounts.write_text(
            f"24 1 0:5 / / rw - ext4 /dev/vda rw\n36 24 0:32 / {self.mount} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
        )

    def add_process(self, number: int, text: str) -> None:
        (self.proc / str(number)).mkdir()
        (self.proc / str(number) / "cgroup").write_text(text)

    def files(self) -> CgroupFiles:
        return CgroupFiles(SCHEMA, self.proc, self.mounts)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def rows_of(batch: Batch) -> set[tuple[str, int, int, int, str]]:
    names = ("event", "cgroup", "hierarchy", "process", "path")
    columns = [batch.rows[name].tolist() for name in names]
    rows = zip(*columns, strict=True)
    return {(KINDS[event], cgroup, hierarchy, process, os.fsdecode(path)) for event, cgroup, hierarchy, process, path in rows}


def test_every_v2_directory_is_there_with_its_inode_number(tree: Tree) -> None:
    inner = tree.mount / "system.slice" / "nginx.service"
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text("1\n")
    expected = {
        ("existing", tree.mount.stat().st_ino, 0, 0, "/"),
        ("existing", inner.parent.stat().st_ino, 0, 0, "/system.slice"),
        ("existing", inner.stat().st_ino, 0, 0, "/system.slice/nginx.service"),
    }
    assert rows_of(tree.files().read(5)) == expected


def test_process_in_v1_cgroups_is_attached_once_for_each_path(tree: Tree) -> None:
    tree.add_process(7, "12:pids:/docker/a\n4:memory:/docker/a\n3:cpu,cpuacct:/other\n1:name=systemd:/\n0::/\n")
    tree.add_process(8, "4:memory:/\n0::/\n")
    found = rows_of(tree.files().read(5))
    assert {row for row in found if row[0] == "attached"} == {
        ("attached", 0, 12, 7, "/docker/a"),
        ("attached", 0, 3, 7, "/other"),
    }


def test_v1_path_that_repeats_the_v2_path_says_nothing_new() -> None:
    text = "9:name=systemd:/system.slice/a.service\n4:memory:/docker/a\n0::/system.slice/a.service\n"
    assert own_v1_paths(text) == [(4, "/docker/a")]


def test_path_of_a_removed_cgroup_loses_the_remark() -> None:
    assert own_v1_paths("4:memory:/docker/a (deleted)\n") == [(4, "/docker/a")]


def test_path_with_colons_is_kept_whole() -> None:
    assert own_v1_paths("4:memory:/x.slice:cri-containerd:abc\n") == [(4, "/x.slice:cri-containerd:abc")]


def test_what_lies_outside_a_cgroup_namespace_is_read_without_the_climb() -> None:
    assert own_v1_paths("4:memory:/../../docker/a\n") == [(4, "/docker/a")]


def test_time_of_the_scan_is_in_every_row(tree: Tree) -> None:
    assert tree.files().read(77).rows["observed_at"].tolist() == [77]


def test_path_longer_than_its_field_keeps_its_end(tree: Tree) -> None:
    (tree.mount / ("a" * 40) / ("b" * 40)).mkdir(parents=True)
    longest = max(rows_of(tree.files().read(5)), key=lambda row: len(row[4]))[4]
    assert longest == f"/{'a' * 40}/{'b' * 40}"[-63:]


def test_process_that_vanishes_is_counted_and_the_others_are_read(tree: Tree) -> None:
    (tree.proc / "7").mkdir()  # its cgroup file is gone already
    tree.add_process(8, "4:memory:/docker/a\n")
    files = tree.files()
    assert ("attached", 0, 4, 8, "/docker/a") in rows_of(files.read(5))
    assert files.vanished == 1


def test_no_proc_and_no_mount_table_give_no_rows_and_are_counted(tmp_path: Path) -> None:
    files = CgroupFiles(SCHEMA, tmp_path / "proc", tmp_path / "mountinfo")
    assert len(files.read(5)) == 0
    assert files.vanished == 2


def test_mount_point_that_vanished_is_counted(tree: Tree) -> None:
    tree.mount.rmdir()
    files = tree.files()
    assert len(files.read(5)) == 0
    assert files.vanished == 1


def test_rows_over_the_limit_are_counted(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.source.cgroup_files.ROWS_MAX", 2)
    for name in "abc":
        (tree.mount / name).mkdir()
    files = tree.files()
    assert len(files.read(5)) == 2
    assert files.left_out == 2


def test_symbolic_links_are_not_followed(tree: Tree) -> None:
    (tree.mount / "loop").symlink_to(tree.mount)
    assert len(tree.files().read(5)) == 1


@pytest.mark.parametrize(
    ("line", "mount"),
    [
        ("36 24 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw", ("", "/sys/fs/cgroup/unified")),
        ("36 24 0:32 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate", ("", "/sys/fs/cgroup")),
        ("36 24 0:32 /../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw", ("", "/host/sys/fs/cgroup")),
        ("36 24 0:32 /kubepods /mnt/with\\040blank rw - cgroup2 none rw", ("/kubepods", "/mnt/with blank")),
    ],
)
def test_v2_mount_is_found_wherever_it_is(line: str, mount: tuple[str, str]) -> None:
    assert find_cgroup2(f"24 1 0:5 / / rw - ext4 /dev/vda rw\n{line}\n") == [mount]


def test_only_v2_is_taken_for_v2() -> None:
    assert find_cgroup2("36 24 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n36 24\n - cgroup2 \n") == []


def test_this_machine_can_be_read() -> None:
    batch = cgroup_seed(SCHEMA)
    assert set(batch.rows["event"].tolist()) <= {KINDS.index("existing"), KINDS.index("attached")}


@given(st.text())
def test_no_text_of_a_cgroup_file_raises(text: str) -> None:
    assert all(hierarchy >= 0 and path for hierarchy, path in own_v1_paths(text))
    find_cgroup2(text)


@given(st.text(st.sampled_from("\\0478 a")))
def test_no_escape_raises(text: str) -> None:
    unescape_octal(text)
