"""What several test folders share: where the project is, and whether this machine lets us load eBPF programs."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

ROOT = Path(__file__).resolve().parent.parent


def refusal_of_bpf() -> str:
    """'' when programs can be loaded here, otherwise why not."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "this kernel has no BTF"
    if not list((ROOT / "probes/build").glob("*.bpf.o")):
        return "the probes are not compiled (make -C probes)"
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return "libbpf.so.1 is not installed"
    ring_buffer = 27
    return "" if libbpf.libbpf_probe_bpf_map_type(ring_buffer, None) == 1 else "bpf() is refused here"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("kernel") or item.get_closest_marker("end_to_end")]
    refusal = refusal_of_bpf() if marked else ""
    for item in marked:
        if refusal:
            item.add_marker(pytest.mark.skip(reason=refusal))


@pytest.fixture(scope="session")
def project() -> Path:
    return ROOT
