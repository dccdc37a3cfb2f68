"""The cgroups that are older than the agent, as the cgroup file systems and /proc show them.

They become rows of the process probe's record `cgroup_event`, so that recordings hold them like everything else.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from collector.batch import Batch, BatchKind, Schema

ROWS_MAX = 65536
ROOT_INODE = 1  # the host's own root: in a container another mount may show a part of the tree only
DELETED = " (deleted)"


class CgroupRow(NamedTuple):
    """The fields of `cgroup_event` that files can tell."""

    event: str
    cgroup: int
    hierarchy: int
    process: int
    path: str


@dataclass(slots=True)
class CgroupFiles:
    """schema: of `cgroup_event`. proc: a proc file system that shows every process. mounts: a mountinfo file (proc(5)).

    vanished: entries that went away, or could not be read, while they were looked at. left_out: rows over ROWS_MAX.
    """

    schema: Schema
    proc: Path
    mounts: Path
    vanished: int = 0
    left_out: int = 0

    def read(self, observed_at: int) -> Batch:
        """Every v2 cgroup as `existing`, every process in a v1 cgroup as `attached`. Raises for nothing it finds."""
        rows: list[CgroupRow] = []
        for row in (*self._existing(), *self._attached()):
            if len(rows) < ROWS_MAX:
                rows.append(row)
            else:
                self.left_out += 1
        return self._batch(rows, observed_at)

    def _existing(self) -> Iterator[CgroupRow]:
        """The inode number of a v2 directory is the cgroup's id."""
        mounts = find_cgroup2(self._text(self.mounts))
        if not mounts:
            return
        prefix, place = next((mount for mount in mounts if self._inode(mount[1]) == ROOT_INODE), mounts[0])
        folders = [(place, prefix, self._inode(place))]
        while folders:
            folder, path, inode = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    inside = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                self.vanished += 1
                continue
            yield CgroupRow("existing", inode, 0, 0, path or "/")
            folders += [(entry.path, f"{path}/{entry.name}", entry.inode()) for entry in inside]

    def _attached(self) -> Iterator[CgroupRow]:
        try:
            numbers = sorted(int(entry.name) for entry in self.proc.iterdir() if is_number(entry.name))
        except OSError:
            self.vanished += 1
            return
        for number in numbers:
            for hierarchy, path in own_v1_paths(self._text(self.proc / str(number) / "cgroup")):
                yield CgroupRow("attached", 0, hierarchy, number, path)

    @staticmethod
    def _inode(folder: str) -> int:
        try:
            return Path(folder).stat().st_ino
        except OSError:
            return 0

    def _text(self, path: Path) -> str:
        try:
            return os.fsdecode(path.read_bytes())
        except OSError:
            self.vanished += 1
            return ""

    def _batch(self, found: list[CgroupRow], observed_at: int) -> Batch:
        kinds = {name: number for number, name in self.schema.field("event").names.items()}
        rows = np.zeros(len(found), self.schema.dtype)
        if found:
            events, cgroups, hierarchies, processes, paths = zip(*found, strict=True)
            width = self.schema.dtype["path"].itemsize - 1
            rows["event"] = [kinds[event] for event in events]
            rows["cgroup"], rows["hierarchy"], rows["process"] = cgroups, hierarchies, processes
            rows["path"] = [os.fsencode(path)[-width:] for path in paths]  # as in the kernel: the end says more
            rows["observed_at"] = observed_at
        return Batch(self.schema, BatchKind.SNAPSHOT, rows)


def find_cgroup2(mountinfo: str) -> list[tuple[str, str]]:
    """(path of the mounted cgroup, '' for the root; where it is mounted) of every mount of the v2 hierarchy."""
    found = []
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        columns = fields.split(" ")
        if rest.startswith("cgroup2 ") and len(columns) > 4:
            found.append((strip_climb(unescape_octal(columns[3])).rstrip("/"), unescape_octal(columns[4])))
    return found


def own_v1_paths(text: str) -> list[tuple[int, str]]:
    """(hierarchy, path) of each distinct v1 cgroup in a /proc/PID/cgroup that says more than the v2 line does."""
    v2 = "/"
    found: dict[str, int] = {}
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        path = strip_climb(path.removesuffix(DELETED))
        if hierarchy == "0" and not controllers:
            v2 = path
        elif is_number(hierarchy) and path.strip("/"):
            found.setdefault(path, int(hierarchy))
    return [(hierarchy, path) for path, hierarchy in found.items() if path != v2]


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def strip_climb(path: str) -> str:
    """Seen from inside a cgroup namespace, what is outside of it begins with /.. (cgroup_namespaces(7))."""
    while path.startswith("/.."):
        path = path[3:]
    return path or "/"


def unescape_octal(text: str) -> str:
    r"""A blank in a mount table is \040."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda found: chr(int(found[1], 8)), text)


def cgroup_seed(schema: Schema) -> Batch:
    """What this node's files say now. schema: of `cgroup_event`."""
    return CgroupFiles(schema, Path("/proc"), Path("/proc/self/mountinfo")).read(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
