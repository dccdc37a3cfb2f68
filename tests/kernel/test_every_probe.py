"""Each probe folder in a real kernel: loads, counts its workload exactly, balances its books, leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from expectation import count_rows

from collector.batch import Batch, BatchKind
from collector.catalog.probe_folder import find_folders
from collector.clock import SystemClock
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

pytestmark = pytest.mark.kernel

PROBES = Path(__file__).resolve().parents[2] / "probes"
NAMES = [folder.name for folder in find_folders([PROBES])]
PATIENCE_SECONDS = 20.0


def open_source(name: str, transport: str) -> KernelSource:
    settings = Settings(probes=(name,), snapshot_interval=0.5, transport=transport)
    source = KernelSource(source_settings(settings, [PROBES]), SystemClock())
    source.open()
    return source


@pytest.fixture(params=["ring", "perf"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NAMES)
def source(request: pytest.FixtureRequest, transport: str) -> Iterator[KernelSource]:
    opened = open_source(request.param, transport)
    yield opened
    opened.close()


def run_workload(name: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, str(PROBES / name / "workload.py")], check=True, capture_output=True, text=True, timeout=60
    )
    expected: list[dict[str, object]] = json.loads(done.stdout)
    return expected


def rows_at_rest(events: list[Batch], latest: dict[str, Batch]) -> list[Batch]:
    return [*events, *latest.values()]


def test_counts_exactly_what_its_workload_did(source: KernelSource) -> None:
    name = source.probes[0].name
    source.read()
    expected = run_workload(name)
    events: list[Batch] = []
    latest: dict[str, Batch] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    found: list[tuple[int, dict[str, int]]] = []
    while time.monotonic() < deadline:
        for batch in source.read():
            if batch.kind is BatchKind.EVENTS:
                events.append(batch)
            else:
                latest[batch.schema.record] = batch
        found = [count_rows(rows_at_rest(events, latest), expectation) for expectation in expected]
        if all(count == expectation["count"] for (count, _), expectation in zip(found, expected, strict=True)):
            break
        time.sleep(0.05)
    for (count, sums), expectation in zip(found, expected, strict=True):
        assert (count, sums) == (expectation["count"], expectation.get("sum", {})), expectation
    source.read()
    for book in source.books():
        assert book.lost == 0, book
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
