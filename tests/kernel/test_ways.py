"""Each way of a probe that this kernel has counts the same workload as exactly as the one that the agent would take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from expectation import count_rows

from collector.batch import Batch
from collector.catalog.probe_folder import Probe, find_folders, read_manifest, read_probe
from collector.errors import LoadError
from collector.settings import Settings
from collector.source.hook_choice import load_probe
from collector.source.hook_support import read_kernel_facts
from collector.source.libbpf import load_libbpf
from collector.source.loaded_probe import LoadedProbe
from collector.source.settings_for_kernel import source_settings

pytestmark = pytest.mark.kernel

PROBES = Path(__file__).resolve().parents[2] / "probes"
WAYS = [(folder, way) for folder in find_folders([PROBES]) for way in read_manifest(folder).ways]
PATIENCE_SECONDS = 20.0


def load(folder: Path, way: str) -> LoadedProbe:
    facts = read_kernel_facts()
    settings = replace(source_settings(Settings(), [PROBES]).load, one_uprobe_link=facts.one_uprobe_link)
    return load_probe(limited_to(read_probe(folder, facts.types), way), load_libbpf(), settings, facts)


def limited_to(probe: Probe, way: str) -> Probe:
    return replace(probe, manifest=probe.manifest.model_copy(update={"ways": [way]}))


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0].name}: {way[1]}")
def loaded(request: pytest.FixtureRequest) -> Iterator[LoadedProbe]:
    try:
        opened = load(*request.param)
    except LoadError as error:
        pytest.skip(error.cause)
    yield opened
    opened.close()


def read_events(loaded: LoadedProbe) -> list[Batch]:
    loaded.tick(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    return loaded.drain()


def test_every_way_counts_exactly(loaded: LoadedProbe) -> None:
    workload = PROBES / loaded.probe.name / "workload.py"
    done = subprocess.run([sys.executable, str(workload)], check=True, capture_output=True, text=True, timeout=60)
    expected = json.loads(done.stdout)
    events: list[Batch] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    wanted = [(expectation["count"], expectation.get("sum", {})) for expectation in expected]
    while (found := [count_rows(events, expectation) for expectation in expected]) != wanted and time.monotonic() < deadline:
        events += read_events(loaded)
        time.sleep(0.05)
    for counted, expectation in zip(found, expected, strict=True):
        assert counted == (expectation["count"], expectation.get("sum", {})), expectation
    read_events(loaded)
    assert [book for book in loaded.books() if book.lost or not book.balanced] == []
