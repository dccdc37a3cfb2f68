"""Which processes have a library of one kind mapped, in whatever container: /proc read a few processes at a time."""

from __future__ import annotations

import os
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PROCESSES_MAX = 65_536
JUDGED_MAX = 8192
YOUNG_LOOKS = 5  # a process loads its libraries within its first looks, or is found in the round
OLD_PER_LOOK = 16
YOUNG_PER_LOOK = 256

# start-end, permissions with x, offset, device, inode, path: proc_pid_maps(5)
CODE = re.compile(rb"^([0-9a-f]+-[0-9a-f]+) r[-w]x[ps] [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) ([1-9][0-9]*) +(/.*)$", re.MULTILINE)
DELETED = " (deleted)"


class FileKey(NamedTuple):
    """A file whatever it is called: device as in /proc/PID/maps."""

    device: str
    inode: int


@dataclass(frozen=True, slots=True)
class MappedFile:
    """path: as its process calls it. place: where we can open it, as long as that process lives."""

    key: FileKey
    path: str
    place: Path


class Wanted(NamedTuple):
    """library: name pattern of files that are wanted. program: whether an executable carries the library in itself."""

    library: re.Pattern[str]
    program: Callable[[Path], bool]


@dataclass
class MappedLibraries:
    """`look` once in a while; then `files` are those in use by the processes seen so far.

    unreadable: processes that are not ours to look at. left_out: processes at the last look for which there was no room.
    """

    proc_root: Path
    wanted: Wanted
    files: dict[FileKey, MappedFile] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    left_out: int = 0
    _used: dict[int, frozenset[FileKey]] = field(default_factory=dict)
    _looks: dict[int, int] = field(default_factory=dict)
    _round: deque[int] = field(default_factory=deque)
    _judged: OrderedDict[FileKey, bool] = field(default_factory=OrderedDict)

    def look(self, *, everyone: bool = False) -> None:
        """New and young processes, and the next few of the others; everyone: all of them at once."""
        alive = set(list_processes(self.proc_root))
        for gone in self._used.keys() - alive:
            del self._used[gone]
            self._looks.pop(gone, None)
        self.unreadable &= alive
        self._admit(alive)
        for process in self._due(everyone):
            self._used[process] = frozenset(self._files_of(process))
        self._forget_unused()

    def processes(self, key: FileKey) -> int:
        """How many have it mapped."""
        return sum(key in used for used in self._used.values())

    def _admit(self, alive: Iterable[int]) -> None:
        self.left_out = 0
        for process in alive:
            if process in self._used:
                continue
            if len(self._used) >= PROCESSES_MAX:
                self.left_out += 1
                continue
            self._used[process] = frozenset()
            self._looks[process] = 0
            self._round.append(process)

    def _due(self, everyone: bool) -> list[int]:
        if everyone:
            return list(self._used)
        young = list(self._looks)[:YOUNG_PER_LOOK]
        for process in young:
            self._looks[process] += 1
            if self._looks[process] >= YOUNG_LOOKS:
                del self._looks[process]
        return list({*young, *self._next_old()})

    def _next_old(self) -> Iterator[int]:
        for _ in range(min(OLD_PER_LOOK, len(self._round))):
            process = self._round.popleft()
            if process in self._used:
                self._round.append(process)
                yield process

    def _files_of(self, process: int) -> Iterator[FileKey]:
        folder = self.proc_root / str(process)
        try:
            content = (folder / "maps").read_bytes()
            executable = str((folder / "exe").readlink()).removesuffix(DELETED) if content else ""
        except (FileNotFoundError, ProcessLookupError):
            return  # it has ended
        except OSError:
            self.unreadable.add(process)
            return
        for match in CODE.finditer(content):
            found = self._read_line(folder, match, executable)
            if found is not None:
                self.files.setdefault(found.key, found)
                yield found.key

    def _read_line(self, folder: Path, match: re.Match[bytes], executable: str) -> MappedFile | None:
        path = match[4].decode(errors="surrogateescape").removesuffix(DELETED)
        is_library = self.wanted.library.search(path.rpartition("/")[2]) is not None
        if not is_library and path != executable:
            return None
        key = FileKey(match[2].decode(), int(match[3]))
        if key in self.files:
            return self.files[key]
        found = MappedFile(key, path, place_of(folder, path, match[1].decode(), key.inode))
        return found if is_library or self._is_wanted_program(found) else None

    def _is_wanted_program(self, found: MappedFile) -> bool:
        if found.key not in self._judged:
            self._judged[found.key] = self.wanted.program(found.place)
            if len(self._judged) > JUDGED_MAX:
                self._judged.popitem(last=False)
        return self._judged[found.key]

    def _forget_unused(self) -> None:
        used = frozenset().union(*self._used.values())
        for key in self.files.keys() - used:
            del self.files[key]


def list_processes(proc_root: Path) -> list[int]:
    return [int(name) for name in os.listdir(proc_root) if name.isdecimal()]  # noqa: PTH208 -- names only, no Path for each


def place_of(folder: Path, path: str, addresses: str, inode: int) -> Path:
    """Through the process's own root; where another file has taken that name, through its mapping."""
    place = folder / "root" / path.lstrip("/")
    try:
        if place.stat().st_ino == inode:
            return place
    except OSError:
        pass
    return folder / "map_files" / addresses
