"""What `soak.py` reads of an agent from outside, and whether it grew."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from footprint import read_cost
from started_agent import RunningAgent

MIB = 2**20
PAGES = (
    "/api/v1/health",
    "/api/v1/services/map",
    "/api/v1/flows?limit=100",
    "/api/v1/requests?limit=100",
    "/api/v1/pods",
    "/api/v1/workloads",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """At `minute` after the start. cpu: seconds so far.

    MiB: resident, the most of it ever, anonymous, what its cgroup is charged for beside files that can go, the kernel's part of
    that, and the BPF maps by their own word.
    """

    minute: float
    resident: float
    highest: float
    anonymous: float
    charged: float
    kernel: float
    maps: float
    threads: int
    descriptors: int
    lines: int
    cpu: float
    seen: int
    lost: int


def take_sample(agent: RunningAgent, group: Path, begun: float) -> Sample:
    lines = sum(not line.startswith("#") for line in agent.get("/metrics").splitlines())
    for page in PAGES:
        agent.get(page)
    process = Path(f"/proc/{agent.process.pid}")
    status = dict(re.findall(r"^(\w+):\s+(\d+)", (process / "status").read_text(), re.MULTILINE))
    cpu, resident = read_cost(agent.process.pid)
    probes = agent.ask("/api/v1/probes")["probes"]
    charged, kernel = read_charges(group)
    return Sample(
        (time.monotonic() - begun) / 60,
        resident,
        int(status["VmHWM"]) / 1024,
        int(status["RssAnon"]) / 1024,
        charged,
        kernel,
        read_map_bytes(process) / MIB,
        int(status["Threads"]),
        len(list((process / "fd").iterdir())),
        lines,
        cpu,
        sum(book["seen"] for probe in probes for book in probe["books"]),
        sum(book["lost"] for probe in probes for book in probe["books"]),
    )


def read_map_bytes(process: Path) -> int:
    """Of all BPF maps that the process has open, each once (bpf_map_show_fdinfo)."""
    found = {}
    for entry in (process / "fdinfo").iterdir():
        with suppress(OSError):
            fields = dict(re.findall(r"^(\w+):\s+(\S+)", entry.read_text(), re.MULTILINE))
            if "memlock" in fields and "map_id" in fields:
                found[fields["map_id"]] = int(fields["memlock"])
    return sum(found.values())


@contextmanager
def memory_group(name: str) -> Iterator[Path]:
    """A memory cgroup, v1 or v2; what this process starts while the block is entered by `inside` is charged to it."""
    old = Path("/sys/fs/cgroup/memory")
    group = (old if old.is_dir() else Path("/sys/fs/cgroup")) / name
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()


@contextmanager
def inside(group: Path) -> Iterator[None]:
    own = Path("/proc/self/cgroup").read_text().splitlines()
    path = next((line.split(":", 2)[2] for line in own if ":memory:" in line or line.startswith("0::")), "/")
    (group / "cgroup.procs").write_text("0")
    try:
        yield
    finally:
        (group.parent / path.strip("/") / "cgroup.procs").write_text("0")


def read_charges(group: Path) -> tuple[float, float]:
    """MiB: what counts against a limit and cannot simply go (as the kubelet reckons it), and the kernel's part of it."""
    fields = {line.split()[0]: int(line.split()[1]) for line in (group / "memory.stat").read_text().splitlines()}
    if (group / "memory.current").exists():
        usage, kernel = int((group / "memory.current").read_text()), fields.get("kernel", 0)
    else:
        usage = int((group / "memory.usage_in_bytes").read_text())
        kernel = int((group / "memory.kmem.usage_in_bytes").read_text())
    idle = fields.get("total_inactive_file", fields.get("inactive_file", 0))
    return (usage - idle) / MIB, kernel / MIB


def ask_account(place: Path, word: str = "") -> dict[str, Any]:
    """What `memory_account.py` says."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place))
        connection.sendall(word.encode() or b"-")
        with connection.makefile() as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found


def slope(minutes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """(MiB an hour by least squares, twice its standard error).

    Neighbours resemble each other, so that they count for less than their number: by the residuals' correlation with the next.
    """
    at, found = np.asarray(minutes) / 60, np.asarray(values)
    rise, start = np.polyfit(at, found, 1)
    rest = found - (rise * at + start)
    power = float((rest**2).sum())
    alike = min(max(float((rest[1:] * rest[:-1]).sum()) / power, 0.0), 0.95) if power else 0.0
    independent = max(len(at) * (1 - alike) / (1 + alike), 3.0)
    spread = float(((at - at.mean()) ** 2).mean())
    return float(rise), 2 * float(np.sqrt(power / len(at) / (independent - 2) / spread))
