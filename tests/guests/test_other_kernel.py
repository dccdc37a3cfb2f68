"""A small part of ./test-kernels: one kernel that is not this one, the probes with the most ways into it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

NOT_HERE = 77
WAYS = 7  # the tracepoint, fentry and kprobe of both probes; and tcp's records over a perf buffer


def test_tcp_and_udp_count_exactly_by_every_way_into_another_kernel(project: Path) -> None:
    command = [project / "test-kernels", "--kernel", "6.1", "--probes", "tcp,udp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" exact ") == WAYS, done.stderr
