"""Starts, ends and moves an exactly known number of processes, and prints what the probe must have seen (one JSON line).

Everything carries this process's number, so that other work on the node does not disturb the count.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

TIMES = 23
MEMORY_LIMIT = 16 << 20
Expectation = dict[str, Any]


def expect(record: str, count: int, where: dict[str, Any], total: dict[str, int] | None = None) -> Expectation:
    return {"record": record, "where": where, "count": count} | ({"sum": total} if total else {})


def fork(work: Callable[[], None]) -> int:
    """A child that does `work` and then ends with status 0, running nothing of this program's end."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(70)
    return child


def run_programs() -> list[Expectation]:
    """A copy of false(1) under a name of its own: every run is an execution and ends with status 1."""
    name = f"hg{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="honeyguide-") as folder:
        program = Path(folder, name)
        shutil.copy("/bin/false", program)
        for _ in range(TIMES):
            subprocess.run([program], check=False)
        executable = str(program.resolve())
    return [
        expect("process_event", TIMES, {"event": "executed", "command": name, "executable": executable}),
        expect("process_event", TIMES, {"event": "exited", "command": name, "outcome": "failed"}, {"exit_status": TIMES}),
    ]


def kill_children() -> list[Expectation]:
    for _ in range(TIMES):
        child = fork(signal.pause)
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    own = os.getpid()
    return [expect("process_event", TIMES, {"event": "exited", "parent": own, "outcome": "killed", "signal": "sigterm"})]


def start_threads() -> None:
    Path("/proc/self/comm").write_text(f"hgt{os.getppid()}")
    for _ in range(8):
        threading.Thread(target=threading.Event().wait).start()


def end_threaded() -> list[Expectation]:
    """Threads are no processes: each child with eight of them, which all end at the same moment, starts and ends once."""
    for _ in range(TIMES):
        os.waitpid(fork(start_threads), 0)
    name = f"hgt{os.getpid()}"
    return [expect("process_event", TIMES, {"event": "exited", "command": name, "outcome": "succeeded"})]


def mounts(kind: str) -> list[tuple[Path, set[str]]]:
    """(place, options) of every mounted file system of that kind."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(Path(fields[1]), set(fields[3].split(","))) for fields in lines if fields[2] == kind]


def move_between_cgroups(root: Path) -> list[Expectation]:
    name = f"honeyguide-{os.getpid()}"
    child = fork(signal.pause)
    for _ in range(TIMES):
        (root / name).mkdir()
        (root / name / "cgroup.procs").write_text(str(child))
        (root / "cgroup.procs").write_text(str(child))
        (root / name).rmdir()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    path = f"/{name}"
    return [
        expect("cgroup_event", TIMES, {"event": "created", "path": path, "hierarchy": 0}),
        expect("cgroup_event", TIMES, {"event": "removed", "path": path, "hierarchy": 0}),
        expect("cgroup_event", TIMES, {"event": "attached", "path": path, "process": child}),
        expect("cgroup_event", TIMES, {"event": "attached", "path": "/", "process": child}),
    ]


def use_up_memory(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))
    with mmap.mmap(-1, 4 * MEMORY_LIMIT) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1


def memory_limits() -> list[tuple[Path, str]]:
    """(folder in which a cgroup can be made, the file of it that limits its memory): v1, or v2 where that is switched on."""
    v1 = [(place, "memory.limit_in_bytes") for place, options in mounts("cgroup") if "memory" in options]
    v2 = [
        (place, "memory.max")
        for place, _ in mounts("cgroup2")
        if "memory" in (place / "cgroup.subtree_control").read_text().split()
    ]
    return v1 + v2


def run_out_of_memory() -> list[Expectation]:
    """In a cgroup of its own with a small limit; nothing is expected where memory cannot be limited."""
    for place, limit in memory_limits()[:1]:
        group = place / f"honeyguide-{os.getpid()}-memory"
        group.mkdir()
        try:
            (group / limit).write_text(str(MEMORY_LIMIT))
            child = fork(partial(use_up_memory, group))
            os.waitpid(child, 0)
        finally:
            group.rmdir()
        return expect_oom_kill(child)
    return []


def expect_oom_kill(child: int) -> list[Expectation]:
    return [
        expect("process_event", 1, {"event": "oom_killed", "process": child}),
        expect("process_event", 1, {"event": "exited", "process": child, "outcome": "oom_killed", "signal": "sigkill"}),
    ]


def main() -> None:
    started = 3 * TIMES
    found = run_programs() + kill_children() + end_threaded() + run_out_of_memory()
    started += sum(entry["where"].get("event") == "oom_killed" for entry in found)
    for place, _ in mounts("cgroup2")[:1]:
        found += move_between_cgroups(place)
        started += 1
    found.append(expect("process_event", started, {"event": "started", "creator": os.getpid()}))
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
