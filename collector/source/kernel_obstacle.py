"""What about a whole kernel stands in the way of probes, in words for people: better than what the verifier says of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Obstacle:
    cause: str
    remedy: str


NO_BTF = Obstacle(
    "/sys/kernel/btf/vmlinux is missing or damaged: this kernel does not describe its own types (no BTF).",
    "Run a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian 11, Ubuntu 20.10, Fedora 31, RHEL 8.2 or newer);"
    " in a container mount the host's /sys.",
)
# kernel_lockdown(7); LOCKDOWN_BPF_READ_KERNEL, 9d1f8be5cf42 (5.4)
CONFIDENTIAL = Obstacle(
    "The kernel is in lockdown, mode confidentiality: programs may not read kernel memory, so nearly no probe can run.",
    "Boot with lockdown=integrity (Secure Boot's usual mode), which does not hinder honeyguide.",
)
NO_RING_BUFFERS = Obstacle(
    "This kernel has no ring buffers (they came with 5.8), and `transport` asks for them.",
    "Leave `transport` at auto: perf buffers are used then.",
)


def lockdown_mode(sys_root: Path) -> str:
    """none, integrity or confidentiality; '' when the kernel does not say (or securityfs is not mounted)."""
    try:
        found = re.search(r"\[(\w+)\]", (sys_root / "kernel/security/lockdown").read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def find_obstacle(has_btf: bool, lockdown: str, lacks_wanted_rings: bool) -> Obstacle | None:
    """The one that explains most."""
    if lockdown == "confidentiality":
        return CONFIDENTIAL
    if not has_btf:
        return NO_BTF
    return NO_RING_BUFFERS if lacks_wanted_rings else None
