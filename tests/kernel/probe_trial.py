"""One probe in the running kernel beside its own workload: do its numbers agree?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expectation import count_rows
from patience import PATIENCE_SECONDS

from collector.batch import Batch, BatchKind
from collector.clock import SystemClock
from collector.errors import HoneyguideError
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

PROBES = Path(__file__).resolve().parents[2] / "probes"


def open_source(name: str, transport: str, hooks: Sequence[str] = ()) -> KernelSource:
    """hooks: as the setting of that name. HoneyguideError when the probe cannot run."""
    settings = Settings(probes=(name,), snapshot_interval=0.5, transport=transport, hooks=tuple(hooks))
    source = KernelSource(source_settings(settings, [PROBES]), SystemClock())
    try:
        source.open()
    except HoneyguideError:
        (status,) = [status for status in source.statuses() if status.probe == name]
        raise HoneyguideError(status.cause, status.remedy) from None
    return source


def run_workload(name: str, programs: Sequence[str]) -> list[dict[str, Any]]:
    """What it says must have been seen; it is told which programs are watching, as some see less than others."""
    command = [sys.executable, str(PROBES / name / "workload.py"), *programs]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    expected: list[dict[str, Any]] = json.loads(done.stdout)
    return expected


def differences(source: KernelSource) -> list[str]:
    """Runs the workload of the source's only probe; what was not counted exactly or lost, in words."""
    source.read()
    name = source.probes[0].name
    (status,) = [status for status in source.statuses() if status.probe == name]
    expected = run_workload(name, [hook.program for hook in status.hooks])
    events: list[Batch] = []
    latest: dict[str, Batch] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    wrong = ["nothing was read"]
    while wrong and time.monotonic() < deadline:
        for batch in source.read():
            if batch.kind is BatchKind.EVENTS:
                events.append(batch)
            else:
                latest[batch.schema.record] = batch
        wrong = [word for one in expected for word in compare([*events, *latest.values()], one)]
        time.sleep(0.05)
    source.read()
    return wrong + [f"lost {book.lost}: {book}" for book in source.books() if book.lost]


def compare(batches: Sequence[Batch], expectation: dict[str, Any]) -> list[str]:
    """The expectation and what was found instead; empty when they are the same."""
    count, sums = count_rows(batches, expectation)
    if (count, sums) == (expectation["count"], expectation.get("sum", {})):
        return []
    return [f"{count} rows with {sums} instead of {expectation}"]
