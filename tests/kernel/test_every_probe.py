"""Each probe folder in a real kernel: loads, counts its workload exactly, balances its books, leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS
from probe_trial import PROBES, differences, open_source

from collector.catalog.probe_folder import find_folders
from collector.source.kernel_source import KernelSource

pytestmark = pytest.mark.kernel

NAMES = [folder.name for folder in find_folders([PROBES])]


@pytest.fixture(params=["ring", "perf"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NAMES)
def source(request: pytest.FixtureRequest, transport: str) -> Iterator[KernelSource]:
    opened = open_source(request.param, transport)
    yield opened
    opened.close()


def test_counts_exactly_what_its_workload_did(source: KernelSource) -> None:
    assert differences(source) == []
    assert source.statuses()[0].hooks or len(source.statuses()) > 1


def test_a_closed_probe_leaves_no_program_behind(transport: str) -> None:
    loaded: set[int] = set()
    for name in NAMES:
        source = open_source(name, transport)
        loaded |= held_programs()
        source.close()
    assert loaded
    deadline = time.monotonic() + PATIENCE_SECONDS
    while loaded & programs_of_the_kernel() and time.monotonic() < deadline:
        time.sleep(0.1)  # the kernel frees programs after a grace period
    assert not loaded & programs_of_the_kernel()
    assert not held_programs()


def held_programs() -> set[int]:
    """Ids of the programs that this process holds a descriptor of."""
    found = set()
    for entry in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):
            lines = entry.read_text().splitlines()
            found |= {int(line.split()[1]) for line in lines if line.startswith("prog_id:")}
    return found


def programs_of_the_kernel() -> set[int]:
    listed = json.loads(subprocess.run(["bpftool", "--json", "prog", "list"], check=True, capture_output=True).stdout)
    return {int(program["id"]) for program in listed}
