"""50 short processes a second in a systemd unit's cgroup: every one of them is there, with its unit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS
from started_agent import RunningAgent

from collector.source.hook_support import find_cgroup_root

pytestmark = pytest.mark.end_to_end

SECONDS = int(os.environ.get("TRUTH_SECONDS", "6"))
RATE = 50
# Starts /bin/true at a steady rate; each lives about a millisecond.
SPAWNER = f"""
import os, time
begun = time.monotonic()
for number in range({RATE * SECONDS}):
    while time.monotonic() - begun < number / {RATE}:
        time.sleep(0.001)
    child = os.posix_spawn("/bin/true", ["true"], {{}})
    os.waitpid(child, 0)
"""


@pytest.fixture
def unit() -> Iterator[Path]:
    """A cgroup as systemd would name it."""
    root = find_cgroup_root(Path("/proc/self/mounts").read_text())
    if root is None:
        pytest.skip("no cgroup v2 is mounted")
    parent = root / "system.slice"
    existed = parent.exists()
    folder = parent / f"truth-{os.getpid()}.service"
    folder.mkdir(parents=True)
    yield folder
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            folder.rmdir()
            break
        except OSError:
            time.sleep(0.05)
    if not existed:
        parent.rmdir()


def run_inside(cgroup: Path) -> None:
    join = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write(str(__import__('os').getpid()))\n"
    subprocess.run([sys.executable, "-c", join + SPAWNER], check=True)


def executions(agent: RunningAgent, workload: str) -> float:
    lines = [line for line in agent.get("/metrics").splitlines() if line.startswith("honeyguide_process_executions_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'service_name="{workload}"' in line)


def test_every_short_process_is_counted_for_its_unit(start_agent: Callable[..., RunningAgent], unit: Path) -> None:
    agent = start_agent()
    run_inside(unit)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while executions(agent, unit.name) < RATE * SECONDS and time.monotonic() < deadline:
        time.sleep(0.2)
    assert executions(agent, unit.name) == RATE * SECONDS
    listed = agent.ask(f"/api/v1/processes?workload={unit.name}&limit=10000")["processes"]
    assert {process["executable"] for process in listed if process["command"] == "true"} == {"/usr/bin/true"}
    assert {process["outcome"] for process in listed if process["command"] == "true"} == {"succeeded"}
    assert agent.ask("/api/v1/health")["lost"] == 0
