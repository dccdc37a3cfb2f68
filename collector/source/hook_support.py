"""Whether this kernel can take a hook at all, judged by its section name before anything is loaded.

A yes is not a promise: loading and attaching decide. A no spares the attempt and gives a better reason than the verifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from collector.catalog.btf import KernelTypes

SYMBOL_HOOKS = ("kprobe", "kretprobe")
TRAMPOLINE_HOOKS = ("fentry", "fexit", "fmod_ret", "lsm")


@dataclass
class KernelFacts:
    """What the running kernel has; roots are arguments so that a test can describe another kernel.

    types: its BTF, or None. cgroup_root: where cgroup v2 is mounted, or None.
    """

    types: KernelTypes | None
    cgroup_root: Path | None
    sys_root: Path = Path("/sys")
    proc_root: Path = Path("/proc")
    _answers: dict[str, str] = field(default_factory=dict)

    def refusal(self, section: str) -> str:
        """'' when a program of ELF section `section` may work here, otherwise why not."""
        if section not in self._answers:
            self._answers[section] = self._judge(section)
        return self._answers[section]

    def _judge(self, section: str) -> str:
        kind, _, target = section.partition("/")
        judges: dict[str, Callable[[str], str]] = {
            "tp_btf": self._judge_btf_tracepoint,
            "tracepoint": self._judge_tracepoint,
            "tp": self._judge_tracepoint,
            "iter": self._judge_iterator,
            "cgroup_skb": self._judge_cgroup,
            **dict.fromkeys(SYMBOL_HOOKS, self._judge_symbol),
            **dict.fromkeys(TRAMPOLINE_HOOKS, self._judge_trampoline),
        }
        return judges[kind](target) if kind in judges else ""

    def _judge_btf_tracepoint(self, target: str) -> str:
        if self.types is None:
            return "this kernel has no BTF"
        return "" if self.types.has_tracepoint(target) else f"this kernel has no tracepoint {target}"

    def _judge_tracepoint(self, target: str) -> str:
        places = [self.sys_root / "kernel/tracing/events", self.sys_root / "kernel/debug/tracing/events"]
        mounted = [place for place in places if place.is_dir()]
        if not mounted:
            return "tracefs is not mounted (mount -t tracefs none /sys/kernel/tracing)"
        return "" if any((place / target).is_dir() for place in mounted) else f"this kernel has no tracepoint {target}"

    def _judge_iterator(self, target: str) -> str:
        if self.types is None:
            return "this kernel has no BTF"
        return "" if self.types.has_name(f"bpf_iter__{target}") else f"this kernel has no iterator over {target}"

    def _judge_cgroup(self, _: str) -> str:
        return "" if self.cgroup_root else "cgroup v2 is not mounted"

    def _judge_symbol(self, target: str) -> str:
        if not (self.sys_root / "bus/event_source/devices/kprobe").exists():
            return "this kernel has no kprobes (CONFIG_KPROBES)"
        return "" if target in self._symbols else f"this kernel has no function {target} to probe"

    def _judge_trampoline(self, target: str) -> str:
        if self.types is None:
            return "this kernel has no BTF"
        return "" if self.types.has_name(target) else f"this kernel has no function {target} in its BTF"

    @cached_property
    def _symbols(self) -> frozenset[str]:
        try:
            lines = (self.proc_root / "kallsyms").read_text().splitlines()
        except OSError:
            return frozenset()
        return frozenset(line.split(maxsplit=3)[2] for line in lines)


def find_cgroup_root(mounts: str) -> Path | None:
    """The mount point of cgroup v2 in the text of /proc/self/mounts."""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) > 2 and words[2] == "cgroup2":
            return Path(words[1].replace("\\040", " "))
    return None


def read_kernel_facts(sys_root: Path = Path("/sys"), proc_root: Path = Path("/proc")) -> KernelFacts:
    """Never raises: what cannot be read is not there."""
    try:
        types: KernelTypes | None = KernelTypes((sys_root / "kernel/btf/vmlinux").read_bytes())
    except OSError:
        types = None
    try:
        cgroup_root = find_cgroup_root((proc_root / "self/mounts").read_text())
    except OSError:
        cgroup_root = None
    return KernelFacts(types, cgroup_root, sys_root, proc_root)
