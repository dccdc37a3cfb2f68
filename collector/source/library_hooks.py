"""Programs attached to functions of user libraries: SEC("uprobe/libssl:SSL_read") or several functions after the colon.

Every library file (inode) gets its hooks once, for all processes that have it mapped now or later, and loses them when nobody
maps it any more.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from collector.clock import NANOSECONDS
from collector.source.exported_functions import SharedCallee, find_functions
from collector.source.mapped_libraries import FileKey, MappedFile, MappedLibraries, Wanted

log = logging.getLogger(__name__)

Detach = Callable[[], object]
Attach = Callable[[str, str, Sequence[int], bool], list[Detach]]
LOOK_NS = 2 * NANOSECONDS
LIBRARIES_MAX = 64
FAILURES_MAX = 256
DETACHERS = 32  # each waits for the kernel; together they wait once


class LibraryKind(NamedTuple):
    """names: of its files. proof: functions without which a file is no such library. shared: what may stand for others."""

    names: re.Pattern[str]
    proof: frozenset[str]
    shared: tuple[SharedCallee, ...]


# The word before the colon of a section name.
KINDS = {
    "libssl": LibraryKind(
        re.compile(r"^lib(boring)?ssl[^/]*\.so(\.|$)"),
        frozenset({"SSL_read", "SSL_write", "SSL_free"}),
        (
            SharedCallee(("SSL_read", "SSL_read_ex"), "SSL_read_ex"),  # ssl_read_internal
            SharedCallee(("SSL_write", "SSL_write_ex"), "SSL_write_ex"),  # ssl_write_internal before 3.3
            SharedCallee(("SSL_write", "SSL_write_ex2"), "SSL_write_ex2"),  # ssl_write_internal since 3.3
        ),
    ),
}


class LibraryProgram(NamedTuple):
    """A program and the functions it wants to be attached to."""

    name: str
    functions: tuple[str, ...]
    on_return: bool


def parse_section(section: str) -> tuple[str, tuple[str, ...], bool] | None:
    """(library, functions, on return) of an ELF section name; None when it is no library hook."""
    found = re.fullmatch(r"(uprobe|uretprobe)/(\w+):(\w+(?:,\w+)*)", section)
    if found is None or found[2] not in KINDS:
        return None
    return found[2], tuple(found[3].split(",")), found[1] == "uretprobe"


@dataclass
class LibraryHooks:
    """The hooks of one kind of library. attach: (program, file, offsets, on return) -> what detaches; OSError when refused.

    standing: folders of this node where libraries lie that are hooked before anybody maps them, so that the first
    short-lived program is seen too.
    """

    library: str
    attach: Attach
    proc_root: Path = Path("/proc")
    standing: Sequence[Path] = ()
    programs: list[LibraryProgram] = field(default_factory=list)
    _failures: dict[FileKey, str] = field(default_factory=dict)
    _attached: dict[FileKey, list[Detach]] = field(default_factory=dict)
    _paths: dict[FileKey, str] = field(default_factory=dict)
    _next_look_ns: int = 0
    _standing: list[Path] = field(default_factory=list)
    _over: int = 0

    def __post_init__(self) -> None:
        self._mapped = MappedLibraries(self.proc_root, Wanted(KINDS[self.library].names, self._carries_library))
        self._detachers = ThreadPoolExecutor(DETACHERS, "detach")

    def start(self) -> None:
        """Hooks all that is mapped now, and what lies in the standing folders."""
        names = KINDS[self.library].names
        self._standing = [path for folder in self.standing for path in folder.glob("lib*ssl*.so*") if names.search(path.name)]
        self._mapped.look(everyone=True)
        self._settle()

    def follow(self, now_boot_ns: int) -> None:
        """Looks for new and gone libraries when it is time to. Never raises for what processes do."""
        if now_boot_ns < self._next_look_ns:
            return
        first, self._next_look_ns = self._next_look_ns == 0, now_boot_ns + LOOK_NS
        if not first:
            self._mapped.look()
            self._settle()

    def attached(self) -> Mapping[str, int]:
        """Path of each hooked library -> how many processes have been seen to map it."""
        return {self._paths[key]: self._mapped.processes(key) for key, hooks in self._attached.items() if hooks}

    def notes(self) -> list[str]:
        """Libraries in use that are not hooked, and why."""
        hidden, left_out = len(self._mapped.unreadable), self._mapped.left_out
        limits = (
            (self._over, f"more files are not hooked: {LIBRARIES_MAX} are the most"),
            (hidden, "processes are not ours to look at: libraries that only they use are not hooked"),
            (left_out, "more processes are not looked at"),
        )
        return [*self._failures.values(), *(f"{count} {words}" for count, words in limits if count)]

    def close(self) -> None:
        """Takes all hooks away; the calls that are under way in the processes end as they would have."""
        for key in list(self._attached):
            self._detach(key)
        self._detachers.shutdown(wait=True)

    def _settle(self) -> None:
        files = {**self._standing_files(), **self._mapped.files}
        for key in self._attached.keys() - files.keys():
            self._detach(key)
        for key in self._failures.keys() - files.keys():
            del self._failures[key]
        fresh = sorted(files.keys() - self._attached.keys() - self._failures.keys())
        room = LIBRARIES_MAX - sum(map(bool, self._attached.values()))
        self._over = max(len(fresh) - room, 0)
        for key in fresh[:room]:
            self._attach(files[key])

    def _attach(self, file: MappedFile) -> None:
        """A file that only has such a name is remembered without hooks."""
        made: list[Detach] = []
        try:
            offsets = self._offsets(file.place)
            for program in self.programs if offsets else ():
                places = [offsets[function] for function in program.functions if function in offsets]
                if places:
                    made += self.attach(program.name, str(file.place), places, program.on_return)
        except (FileNotFoundError, ProcessLookupError):
            self._run(made)
            self._mapped.files.pop(file.key, None)  # its process has ended; another one may show it again
            return
        except (OSError, ValueError) as error:
            self._run(made)
            self._refuse(file, str(error))
            return
        self._attached[file.key], self._paths[file.key] = made, file.path

    def _offsets(self, place: Path) -> dict[str, int]:
        """Empty for a file that is no such library."""
        kind = KINDS[self.library]
        functions = {function for program in self.programs for function in program.functions}
        return find_functions(place, functions, kind.proof, kind.shared)

    def _refuse(self, file: MappedFile, reason: str) -> None:
        log.warning("%s cannot be hooked: %s", file.path, reason)
        if len(self._failures) < FAILURES_MAX:
            self._failures[file.key] = f"{file.path} cannot be hooked: {reason}"

    def _detach(self, key: FileKey) -> None:
        self._run(self._attached.pop(key))
        del self._paths[key]

    def _run(self, detaches: Iterable[Detach]) -> None:
        """In other threads: the kernel waits until no CPU runs the program any more."""
        for detach in detaches:
            self._detachers.submit(detach)

    def _carries_library(self, program: Path) -> bool:
        try:
            return bool(self._offsets(program))
        except (OSError, ValueError):
            return False

    def _standing_files(self) -> dict[FileKey, MappedFile]:
        files: dict[FileKey, MappedFile] = {}
        for path in self._standing:
            try:
                state = path.stat()
            except OSError:
                continue
            key = FileKey(maps_device(state.st_dev), state.st_ino)
            files.setdefault(key, MappedFile(key, str(path), path))
        return files


def maps_device(device: int) -> str:
    """As /proc/PID/maps writes it."""
    return f"{os.major(device):02x}:{os.minor(device):02x}"
