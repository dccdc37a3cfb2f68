"""Every test of this folder runs once for each probe folder; a new probe is tested without a line here."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from collector.catalog.btf import KernelTypes
from collector.catalog.probe_folder import Probe, find_folders, read_probe

PROBES = Path(__file__).resolve().parents[2] / "probes"
KERNEL = Path("/sys/kernel/btf/vmlinux")


@functools.cache
def kernel_types() -> KernelTypes | None:
    return KernelTypes(KERNEL.read_bytes()) if KERNEL.exists() else None


@functools.cache
def read(folder: Path) -> Probe:
    return read_probe(folder, kernel_types())


@pytest.fixture(params=find_folders([PROBES]), ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def probe(folder: Path) -> Probe:
    """As the running kernel names its enums, where it has BTF."""
    return read(folder)
