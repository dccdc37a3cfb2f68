"""What is read from /proc and /sys, on small trees that look like other kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.doctor.finding import Finding, Verdict
from collector.doctor.kernel_facts import Trees, find_tracefs, inspect_kernel, read_cgroup_mounts, read_version

V1 = "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
V2 = "31 25 0:27 / /sys/fs/cgroup{place} rw,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHER = "21 26 0:20 / /proc rw,relatime - proc proc rw\n"


def make_trees(root: Path, **files: str) -> Trees:
    """A healthy pure-v2 node, changed by `files`: path below `root` -> content; '' removes it."""
    content = {
        "proc/sys/kernel/osrelease": "6.1.0-37-amd64\n",
        "proc/sys/net/core/bpf_jit_enable": "1\n",
        "proc/self/mountinfo": OTHER + V2.format(place=""),
        "sys/kernel/btf/vmlinux": "BTF",
        "sys/kernel/tracing/events/enable": "0",
        "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    } | files
    for path, text in content.items():
        if text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return Trees(root / "proc", root / "sys", root / "lib/modules")


def inspect(root: Path, **files: str) -> dict[str, Finding]:
    return {finding.subject: finding for finding in inspect_kernel(make_trees(root, **files))}


def test_healthy_node_has_no_complaint(tmp_path: Path) -> None:
    findings = inspect(tmp_path)
    assert [one for one in findings.values() if one.verdict is Verdict.NO] == []
    assert findings["cgroups"].detail == "v2 at /sys/fs/cgroup"
    assert findings["lockdown"].detail == "none"


@pytest.mark.parametrize(
    ("subject", "files", "cause", "remedy"),
    [
        ("BTF", {"sys/kernel/btf/vmlinux": ""}, "missing", "CONFIG_DEBUG_INFO_BTF"),
        ("tracefs", {"sys/kernel/tracing/events/enable": ""}, "not mounted", "mount -t tracefs"),
        ("kernel", {"proc/sys/kernel/osrelease": "4.19.0-27-amd64"}, "older than 5.10", "5.10"),
        ("kernel", {"proc/sys/kernel/osrelease": ""}, "unknown", "5.10"),
        ("cgroups", {"proc/self/mountinfo": OTHER + V1}, "Only v1", "cgroup2"),
        ("cgroups", {"proc/self/mountinfo": OTHER}, "No cgroup", "cgroup2"),
        ("cgroups", {"proc/self/mountinfo": "nonsense\n - \n - cgroup2"}, "No cgroup", "cgroup2"),
        ("lockdown", {"sys/kernel/security/lockdown": "none integrity [confidentiality]"}, "confidentiality", "integrity"),
        ("BPF compiler", {"proc/sys/net/core/bpf_jit_enable": "0"}, "interpreted", "bpf_jit_enable=1"),
    ],
)
def test_each_no_has_its_cause_and_remedy(tmp_path: Path, subject: str, files: dict[str, str], cause: str, remedy: str) -> None:
    finding = inspect(tmp_path, **files)[subject]
    assert finding.verdict is Verdict.NO
    assert cause in finding.cause
    assert remedy in finding.remedy


def test_hybrid_cgroups_name_the_v2_mount(tmp_path: Path) -> None:
    mountinfo = V1 + V1.replace("memory", "cpu") + V2.format(place="/unified")
    assert inspect(tmp_path, **{"proc/self/mountinfo": mountinfo})["cgroups"].detail == (
        "hybrid: v2 at /sys/fs/cgroup/unified, 2 v1 hierarchies"
    )
    mounts = read_cgroup_mounts(Trees(tmp_path / "proc"))
    assert mounts.controllers == ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu")


def test_integrity_lockdown_is_no_obstacle(tmp_path: Path) -> None:
    finding = inspect(tmp_path, **{"sys/kernel/security/lockdown": "none [integrity] confidentiality"})["lockdown"]
    assert (finding.verdict, finding.detail) == (Verdict.YES, "integrity")


def test_tracefs_is_found_below_debugfs_too(tmp_path: Path) -> None:
    trees = make_trees(tmp_path, **{"sys/kernel/tracing/events/enable": "", "sys/kernel/debug/tracing/events/enable": "0"})
    assert find_tracefs(trees) == tmp_path / "sys/kernel/debug/tracing"


def test_empty_trees_are_reported_not_raised(tmp_path: Path) -> None:
    trees = Trees(tmp_path / "none", tmp_path / "none", tmp_path / "none")
    assert len(list(inspect_kernel(trees))) == len(inspect(tmp_path))
    assert read_version(trees) == (0, 0)
