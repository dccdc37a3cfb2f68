from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from collector.catalog.btf import HEADER, MAGIC, KernelTypes
from collector.source.hook_support import KernelFacts, find_cgroup_root, read_kernel_facts


def types_with(*names: str) -> bytes:
    """The BTF of a kernel that has no more than these names."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    return HEADER.pack(MAGIC, 1, 0, HEADER.size, 0, 0, 0, len(strings)) + strings


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """A node of our own: /sys and /proc as small trees."""
    sys_root, proc_root = tmp_path / "sys", tmp_path / "proc"
    (sys_root / "kernel/btf").mkdir(parents=True)
    names = ("btf_trace_kfree_skb", "bpf_iter__tcp", "tcp_set_state", "bpf_lsm_file_open", "inode_create")
    (sys_root / "kernel/btf/vmlinux").write_bytes(types_with(*names))
    (sys_root / "kernel/tracing/events/sched/sched_switch").mkdir(parents=True)
    for kind in ("kprobe", "uprobe"):
        (sys_root / "bus/event_source/devices" / kind).mkdir(parents=True)
    (proc_root / "self").mkdir(parents=True)
    (proc_root / "self/mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    symbols = ["ffffffff81000000 T tcp_set_state", "ffffffffc0000000 t inner\t[nf_nat]", "a broken", "", "\udcff x y z"]
    (proc_root / "kallsyms").write_bytes("\n".join(symbols).encode(errors="surrogateescape"))
    return sys_root, proc_root


@pytest.fixture
def facts(roots: tuple[Path, Path]) -> KernelFacts:
    return read_kernel_facts(*roots)


@pytest.mark.parametrize(
    "section",
    [
        "tp_btf/kfree_skb", "tracepoint/sched/sched_switch", "tp/sched/sched_switch", "iter/tcp", "cgroup_skb/egress",
        "kprobe/tcp_set_state", "kretprobe/inner",
        "kprobe/gone,tcp_set_state", "kprobe/tcp_set_state+4", "fentry/tcp_set_state", "fexit.s/tcp_set_state",
        "lsm/file_open", "uprobe", "uprobe//usr/lib/libssl.so:SSL_read", "raw_tp/sys_exit", "perf_event", "",
    ],
)  # fmt: skip
def test_what_may_work_is_not_ruled_out(facts: KernelFacts, section: str) -> None:
    assert facts.refusal(section) == ""


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("tp_btf/kfree", "no tracepoint kfree"),
        ("tp_btf/sys_enter_openat", 'write SEC("tracepoint/syscalls/sys_enter_openat")'),
        ("tracepoint/sched/sched_nothing", "no tracepoint sched/sched_nothing"),
        ("iter/udp", "no iterator over udp"),
        ("kprobe/tcp_set", "no function tcp_set to probe"),
        ("kretprobe/gone,tcp_set", "no function gone,tcp_set to probe"),
        ("fentry/udp_sendmsg", "no function udp_sendmsg in its BTF"),
        ("lsm/inode_create", "no function bpf_lsm_inode_create"),
    ],
)
def test_what_this_kernel_lacks_is_named(facts: KernelFacts, section: str, reason: str) -> None:
    assert reason in facts.refusal(section)


@pytest.mark.parametrize("content", [None, b"", b"no BTF", types_with("btf_trace_kfree_skb")[:20]])
def test_kernel_without_usable_types_refuses_what_needs_them(roots: tuple[Path, Path], content: bytes | None) -> None:
    vmlinux = roots[0] / "kernel/btf/vmlinux"
    vmlinux.unlink() if content is None else vmlinux.write_bytes(content)
    facts = read_kernel_facts(*roots)
    assert facts.types is None
    for section in ("tp_btf/kfree_skb", "iter/tcp", "fentry/tcp_set_state", "lsm/file_open"):
        assert facts.refusal(section) == "this kernel has no BTF"


def test_empty_machine_answers_every_question(tmp_path: Path) -> None:
    facts = read_kernel_facts(tmp_path / "sys", tmp_path / "proc")
    assert "tracefs is not mounted" in facts.refusal("tracepoint/sched/sched_switch")
    assert "CONFIG_KPROBES" in facts.refusal("kprobe/tcp_set_state")
    assert facts.refusal("cgroup_skb/ingress") == "cgroup v2 is not mounted"


def test_kprobes_without_symbols_refuse_every_function(roots: tuple[Path, Path]) -> None:
    (roots[1] / "kallsyms").unlink()
    assert "no function tcp_set_state" in read_kernel_facts(*roots).refusal("kprobe/tcp_set_state")


def test_tracefs_in_debugfs_is_found(tmp_path: Path) -> None:
    (tmp_path / "kernel/debug/tracing/events/skb/kfree_skb").mkdir(parents=True)
    facts = KernelFacts(KernelTypes(types_with()), None, tmp_path, tmp_path)
    assert facts.refusal("tracepoint/skb/kfree_skb") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become nobody")
def test_tracefs_that_we_may_not_see_is_a_refusal_not_a_crash(roots: tuple[Path, Path]) -> None:
    (roots[0] / "kernel/tracing").chmod(0o700)
    code = (
        "import os; from pathlib import Path; from collector.source.hook_support import KernelFacts; os.seteuid(65534)\n"
        "print(KernelFacts(None, None, Path('.'), Path('.')).refusal('tracepoint/sched/sched_switch'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=roots[0], capture_output=True, text=True, check=True)
    assert "not ours to read" in done.stdout


@pytest.mark.parametrize(
    ("mounts", "place"),
    [
        ("", None),
        ("proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", None),
        ("cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n", "/sys/fs/cgroup/unified"),
        ("none /mnt/my\\040own\\011groups\\134x cgroup2 rw 0 0", "/mnt/my own\tgroups\\x"),
        ("cgroup2\n\nbroken line\ncgroup2 /first cgroup2 rw 0 0\ncgroup2 /second cgroup2 rw 0 0\n", "/first"),
        ("cgroup2 /cgroup2 tmpfs rw 0 0", None),
    ],
)
def test_mount_point_of_cgroup_v2_is_found(mounts: str, place: str | None) -> None:
    assert find_cgroup_root(mounts) == (Path(place) if place else None)
