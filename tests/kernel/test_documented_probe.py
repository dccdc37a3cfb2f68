"""docs/adding-a-probe.md promises a probe that works as printed: build it from the page and count its workload."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from expectation import count_rows
from patience import PATIENCE_SECONDS

from collector.batch import Batch
from collector.clock import SystemClock
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings
from collector.workshop.new_probe import write_probe as write_new_probe

pytestmark = pytest.mark.kernel

FILES = {"c": "probe.bpf.c", "toml": "probe.toml", "python": "workload.py"}
ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}


def write_probe(page: str, folder: Path) -> None:
    for language, text in re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL):
        if language in FILES:
            (folder / FILES[language]).write_text(text)


def apply_edits(page: str, place: Path) -> None:
    """The edits that the first part shows, as patch(1) understands them."""
    for edit in re.findall(r"```diff\n(.*?)```", page, re.DOTALL):
        subprocess.run(["patch", "--strip=0", "--fuzz=0"], input=edit, text=True, check=True, cwd=place)


def compile_probe(probes: Path, folder: Path) -> None:
    target = f"-D__TARGET_ARCH_{ARCHITECTURES.get(platform.machine(), platform.machine())}"
    flags = ["-g", "-O2", "-target", "bpf", target, "-Wall", "-Wextra", "-Wpadded", "-Werror"]
    includes = ["-isystem", str(probes / "build/include"), "-I", str(probes / "include")]
    sources = ["-c", str(folder / "probe.bpf.c"), "-o", str(folder / "probe.bpf.o")]
    subprocess.run(["clang", *flags, *includes, *sources], check=True)


def test_the_documented_probe_counts_its_workload(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "signals"
    folder.mkdir()
    write_probe((project / "docs/adding-a-probe.md").read_text(), folder)
    compile_probe(project / "probes", folder)
    source = KernelSource(source_settings(Settings(probes=("signals",)), [tmp_path]), SystemClock())
    source.open()
    try:
        done = subprocess.run([sys.executable, str(folder / "workload.py")], check=True, capture_output=True, text=True)
        (expected,) = json.loads(done.stdout)
        batches: list[Batch] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while count_rows(batches, expected)[0] < expected["count"] and time.monotonic() < deadline:
            batches += source.read()
        assert count_rows(batches, expected)[0] == expected["count"]
        assert all(book.balanced for book in source.books())
    finally:
        source.close()


def test_the_walk_through_ends_with_a_probe_that_counts_failures(project: Path, tmp_path: Path) -> None:
    write_new_probe(tmp_path, "failures", "tracepoint:sched:sched_process_exit", "core")
    apply_edits((project / "docs/adding-a-probe.md").read_text(), tmp_path)
    settings = Settings(probes=("failures",), probe_path=(tmp_path,), cache_folder=tmp_path / "cache")
    source = KernelSource(source_settings(settings, [project / "probes"]), SystemClock())
    source.open()
    try:
        for _ in range(7):
            subprocess.run(["sh", "-c", "exit 77"], check=False)
        expected = {"record": "failures_event", "where": {"status": 77, "command": "sh"}, "count": 7}
        batches: list[Batch] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while count_rows(batches, expected)[0] < 7 and time.monotonic() < deadline:
            batches += source.read()
        assert count_rows(batches, expected)[0] == 7
    finally:
        source.close()
