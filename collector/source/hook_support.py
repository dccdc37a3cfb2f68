"""Whether this kernel can take a hook at all, judged by its section name before anything is loaded.

A yes is not a promise: loading and attaching decide. A no spares the attempt and gives a better reason than the verifier.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from collector.catalog.btf import KernelTypes, sections
from collector.errors import ManifestError
from collector.source.uprobe_link import KERNEL_TYPE as UPROBE_MULTI_TYPE

SYMBOL_HOOKS = ("kprobe", "kretprobe")
TRAMPOLINE_HOOKS = ("fentry", "fexit", "fmod_ret")


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
        kind = kind.removesuffix(".s")  # a program that may sleep
        judges: dict[str, Callable[[str], str]] = {
            "tp_btf": self._judge_btf_tracepoint,
            "tracepoint": self._judge_tracepoint,
            "tp": self._judge_tracepoint,
            "iter": self._judge_iterator,
            "cgroup_skb": self._judge_cgroup,
            "lsm": lambda target: self._judge_trampoline(f"bpf_lsm_{target}"),
            **dict.fromkeys(SYMBOL_HOOKS, self._judge_symbol),
            **dict.fromkeys(TRAMPOLINE_HOOKS, self._judge_trampoline),
        }
        return judges[kind](target) if kind in judges else ""

    def _judge_btf_tracepoint(self, target: str) -> str:
        if self.types is None:
            return "this kernel has no BTF"
        if target.startswith(("sys_enter_", "sys_exit_")):
            return f'tracepoints of system calls have no BTF form: write SEC("tracepoint/syscalls/{target}"), which needs tracefs'
        return "" if self.types.has_tracepoint(target) else f"this kernel has no tracepoint {target}"

    def _judge_tracepoint(self, target: str) -> str:
        places = [self.sys_root / "kernel/tracing/events", self.sys_root / "kernel/debug/tracing/events"]
        mounted = [place for place in places if is_there(place)]
        if not mounted:
            return "tracefs is not mounted or not ours to read (mount -t tracefs tracefs /sys/kernel/tracing)"
        return "" if any(is_there(place / target) for place in mounted) else f"this kernel has no tracepoint {target}"

    def _judge_iterator(self, target: str) -> str:
        if self.types is None:
            return "this kernel has no BTF"
        return "" if self.types.has_name(f"bpf_iter__{target}") else f"this kernel has no iterator over {target}"

    def _judge_cgroup(self, _: str) -> str:
        return "" if self.cgroup_root else "cgroup v2 is not mounted"

    @property
    def one_uprobe_link(self) -> bool:
        """Whether one link attaches to many user functions (6.6)."""
        return self.types is not None and self.types.has_name(UPROBE_MULTI_TYPE)

    def _judge_symbol(self, target: str) -> str:
        if not is_there(self.sys_root / "bus/event_source/devices/kprobe"):
            return "this kernel has no kprobes (CONFIG_KPROBES)"
        functions = [function.partition("+")[0] for function in target.split(",")]
        return "" if self._symbols.intersection(functions) else f"this kernel has no function {target} to probe"

    def _judge_trampoline(self, target: str) -> str:
        if self.types is None:
            return "this kernel has no BTF"
        return "" if self.types.has_name(target) else f"this kernel has no function {target} in its BTF"

    @cached_property
    def _symbols(self) -> frozenset[str]:
        try:
            words = [line.split(maxsplit=3) for line in (self.proc_root / "kallsyms").read_text(errors="replace").splitlines()]
        except OSError:
            return frozenset()
        return frozenset(line[2] for line in words if len(line) > 2)


def is_there(path: Path) -> bool:
    """False too for what we may not see; `Path.exists` raises then."""
    return os.path.exists(path)  # noqa: PTH110


def find_cgroup_root(mounts: str) -> Path | None:
    """The mount point of cgroup v2 in the text of /proc/self/mounts."""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) > 2 and words[2] == "cgroup2":
            return Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[1]))
    return None


def read_kernel_facts(sys_root: Path = Path("/sys"), proc_root: Path = Path("/proc")) -> KernelFacts:
    """Never raises: what cannot be read is not there."""
    read_types = (sys_root / "kernel/btf/vmlinux").read_bytes
    try:
        types: KernelTypes | None = KernelTypes(read_types(), read_types)
        sections(types.data if types else b"")
    except (OSError, ManifestError):
        types = None
    try:
        cgroup_root = find_cgroup_root((proc_root / "self/mounts").read_text(errors="surrogateescape"))
    except OSError:
        cgroup_root = None
    return KernelFacts(types, cgroup_root, sys_root, proc_root)
