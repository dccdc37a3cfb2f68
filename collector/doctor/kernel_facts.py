"""What /proc and /sys tell about this kernel. Both are arguments, so that tests bring their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from collector.doctor.finding import Finding, no, note, yes
from collector.source.kernel_obstacle import CONFIDENTIAL, NO_BTF, lockdown_mode

OLDEST_KERNEL = (5, 10)


@dataclass(frozen=True, slots=True)
class Trees:
    """Where procfs, sysfs and the modules of the running kernel are."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    modules: Path = Path("/lib/modules")


@dataclass(frozen=True, slots=True)
class CgroupMounts:
    """Mount points: of the v2 hierarchy ('' when there is none) and of the v1 controllers."""

    unified: str
    controllers: tuple[str, ...]


def read_text(path: Path) -> str:
    """The content without surrounding blanks; '' when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def read_release(trees: Trees) -> str:
    """Such as 6.1.0-37-amd64."""
    return read_text(trees.proc / "sys/kernel/osrelease")


def read_version(trees: Trees) -> tuple[int, int]:
    """Major and minor; (0, 0) when it cannot be told."""
    match = re.match(r"(\d+)\.(\d+)", read_release(trees))
    return (int(match[1]), int(match[2])) if match else (0, 0)


def read_cgroup_mounts(trees: Trees) -> CgroupMounts:
    """From /proc/self/mountinfo (proc_pid_mountinfo(5)): the type stands after the lone dash, the mount point fifth."""
    unified, controllers = "", []
    for line in read_text(trees.proc / "self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split(" ")[0]
        if kind == "cgroup2" and len(fields) > 4:
            unified = unified or fields[4]
        elif kind == "cgroup" and len(fields) > 4:
            controllers.append(fields[4])
    return CgroupMounts(unified, tuple(controllers))


def find_tracefs(trees: Trees) -> Path | None:
    """Where the classic tracepoints are listed; None when tracefs is not mounted (or not readable)."""
    places = (trees.sys / "kernel/tracing", trees.sys / "kernel/debug/tracing")
    return next((place for place in places if (place / "events").is_dir()), None)


def inspect_kernel(trees: Trees) -> Iterator[Finding]:
    """Everything that can be read rather than tried."""
    yield _version(trees)
    yield _btf(trees)
    yield _tracefs(trees)
    yield _cgroups(trees)
    yield _lockdown(trees)
    yield _compiler(trees)
    for name in ("kernel/unprivileged_bpf_disabled", "kernel/perf_event_paranoid"):
        value = read_text(trees.proc / "sys" / name)
        yield note(name.rpartition("/")[2], value or "not there")


def _version(trees: Trees) -> Finding:
    release, version = read_release(trees) or "unknown", read_version(trees)
    if version >= OLDEST_KERNEL:
        return yes("kernel", release)
    oldest = ".".join(map(str, OLDEST_KERNEL))
    return no("kernel", f"{release} is older than {oldest}.", f"Run a kernel from {oldest} on; older ones are not tested.")


def _btf(trees: Trees) -> Finding:
    path = trees.sys / "kernel/btf/vmlinux"
    if path.is_file():
        return yes("BTF", f"{path}, {path.stat().st_size / (1 << 20):.1f} MiB")
    return no("BTF", NO_BTF.cause, NO_BTF.remedy)


def _tracefs(trees: Trees) -> Finding:
    place = find_tracefs(trees)
    if place:
        return yes("tracefs", str(place))
    return no("tracefs", "It is not mounted, or not readable.", "mount -t tracefs tracefs /sys/kernel/tracing")


def _cgroups(trees: Trees) -> Finding:
    mounts = read_cgroup_mounts(trees)
    if mounts.unified and mounts.controllers:
        return yes("cgroups", f"hybrid: v2 at {mounts.unified}, {len(mounts.controllers)} v1 hierarchies")
    if mounts.unified:
        return yes("cgroups", f"v2 at {mounts.unified}")
    cause = "Only v1 hierarchies are mounted." if mounts.controllers else "No cgroup hierarchy is mounted."
    return no(
        "cgroups",
        f"{cause} Sockets carry no cgroup, so workloads come from /proc only.",
        "mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2; for good: boot with systemd.unified_cgroup_hierarchy=1",
    )


def _lockdown(trees: Trees) -> Finding:
    """kernel_lockdown(7): confidentiality forbids BPF to read kernel memory, integrity only to write user memory."""
    mode = lockdown_mode(trees.sys)
    if mode == "confidentiality":
        return no("lockdown", CONFIDENTIAL.cause, CONFIDENTIAL.remedy)
    return yes("lockdown", mode or "off (the kernel shows no lockdown file)")


def _compiler(trees: Trees) -> Finding:
    value = read_text(trees.proc / "sys/net/core/bpf_jit_enable")
    if value == "0":
        return no("BPF compiler", "Programs are interpreted, several times slower.", "sysctl net.core.bpf_jit_enable=1")
    return yes("BPF compiler", "on" if value else "on (built in)")
