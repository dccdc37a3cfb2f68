"""What is installed beside the agent: libbpf is needed; bcc and kernel headers serve probes of your own in bcc's dialect."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator

from collector.doctor.finding import Finding, no, note, yes
from collector.doctor.kernel_facts import Trees, read_release
from collector.errors import HoneyguideError
from collector.source.libbpf import Libbpf, load_libbpf


def find_libbpf() -> tuple[Libbpf | None, Finding]:
    """The library, or None and why not."""
    try:
        libbpf = load_libbpf()
    except HoneyguideError as error:
        return None, no("libbpf", error.cause, error.remedy)
    return libbpf, yes("libbpf", libbpf.version)


def inspect_software(trees: Trees) -> Iterator[Finding]:
    """bcc (not imported: it takes 70 MiB) and the kernel's headers."""
    if importlib.util.find_spec("bcc") is None:
        yield note("bcc", "not installed; only probes of your own in bcc's dialect need it (Debian: python3-bpfcc)")
    else:
        yield yes("bcc", _version_of("bcc"))
    headers = trees.modules / read_release(trees) / "build"
    packed = trees.sys / "kernel/kheaders.tar.xz"
    found = next((place for place in (headers, packed) if place.exists()), None)
    yield yes("kernel headers", str(found)) if found else note("kernel headers", "not installed; shipped probes need none")


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "installed, version unknown"
