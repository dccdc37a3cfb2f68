"""Tries each way to hook into the kernel: loads and attaches an empty program, takes it out again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from collector.doctor.capabilities import holds
from collector.doctor.finding import Finding, no, yes
from collector.errors import HoneyguideError
from collector.source.libbpf import Libbpf
from collector.source.perf_buffer import online_processors, open_event
from collector.source.program_object import RINGBUF, ProgramObject

ARRAY = 2  # enum bpf_map_type
_TRACING = ("CAP_BPF", "CAP_PERFMON")


@dataclass(frozen=True, slots=True)
class HookKind:
    """program: in probes/include/hook_kinds.bpf.c. capabilities: what it asks for. remedy: when it has them and still fails."""

    subject: str
    program: str
    capabilities: tuple[str, ...]
    remedy: str


HOOK_KINDS = (
    HookKind(
        "tracepoint",
        "try_tracepoint",
        _TRACING,
        "Mount tracefs: mount -t tracefs tracefs /sys/kernel/tracing; the kernel needs CONFIG_BPF_EVENTS.",
    ),
    HookKind("BTF tracepoint", "try_btf_tracepoint", _TRACING, "Run a kernel with CONFIG_DEBUG_INFO_BTF and CONFIG_BPF_EVENTS."),
    HookKind(
        "kprobe",
        "try_kprobe",
        _TRACING,
        "Run a kernel with CONFIG_KPROBES and CONFIG_KPROBE_EVENTS. No shipped probe depends on it alone.",
    ),
    HookKind(
        "fentry",
        "try_fentry",
        _TRACING,
        "Run a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS (x86 5.5, arm64 6.0). No shipped probe depends on it alone.",
    ),
    HookKind(
        "uprobe",
        "try_uprobe",
        (*_TRACING, "CAP_SYS_ADMIN"),  # 6.18 answers EACCES to CAP_PERFMON alone
        "Run a kernel with CONFIG_UPROBES and CONFIG_UPROBE_EVENTS. Without it nothing is seen of what TLS hides.",
    ),
    HookKind("iterator", "try_iterator", _TRACING, "Run a kernel from 5.8 on with CONFIG_DEBUG_INFO_BTF."),
    HookKind(
        "cgroup_skb",
        "try_cgroup_skb",
        ("CAP_BPF", "CAP_NET_ADMIN"),
        "Mount cgroup v2; the kernel needs CONFIG_CGROUP_BPF.",
    ),
)


def try_everything(libbpf: Libbpf, effective: frozenset[str], cgroup_root: str, content: bytes) -> Iterator[Finding]:
    """One finding for each way data can be taken. content: the compiled hook_kinds.bpf.o; cgroup_root: '' without v2."""
    blocked = "The kernel needs CONFIG_BPF_SYSCALL; in a container, its seccomp profile must allow bpf()."
    yield _try_map("bpf()", ARRAY, libbpf, effective, blocked)
    yield _try_map("ring buffer", RINGBUF, libbpf, effective, "Kernels before 5.8 have none; perf buffers are used instead.")
    yield _try_perf_buffer()
    for kind in HOOK_KINDS:
        yield try_hook(kind, libbpf, effective, cgroup_root, content)


def try_hook(kind: HookKind, libbpf: Libbpf, effective: frozenset[str], cgroup_root: str, content: bytes) -> Finding:
    """Nothing stays in the kernel, whatever happens."""
    program = ProgramObject("hook_kinds", libbpf)
    try:
        program.open(content)
        section = program.section(kind.program)
        program.select(kind.program)
        program.load()
        _attach(program, kind.program, section, cgroup_root)
        return yes(kind.subject, section)
    except (HoneyguideError, OSError) as error:
        return _refused(kind.subject, _reason(error), kind.capabilities, effective, kind.remedy)
    finally:
        program.close()


def _attach(program: ProgramObject, name: str, section: str, cgroup_root: str) -> None:
    if section.startswith("iter/"):
        program.attach_iterator(name, "")
    elif section.startswith("cgroup_skb/"):
        if not cgroup_root:
            raise HoneyguideError("There is no cgroup v2 hierarchy.")
        descriptor = os.open(cgroup_root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            program.attach_cgroup(name, descriptor)
        finally:
            os.close(descriptor)
    else:
        program.attach(name)


def _reason(error: HoneyguideError | OSError) -> str:
    """The last part of libbpf's chain of words says most."""
    text = error.cause if isinstance(error, HoneyguideError) else str(error)
    return text.removeprefix("hook_kinds: ").removeprefix("the kernel refused it: ")


def _refused(subject: str, reason: str, wanted: tuple[str, ...], effective: frozenset[str], remedy: str) -> Finding:
    """Missing privileges explain more than the kernel's words, which then are only: not permitted."""
    lacking = " and ".join(name for name in wanted if not holds(effective, name))
    if lacking:
        return no(subject, f"Not permitted without {lacking}.", f"Run as root, or grant {lacking}.")
    return no(subject, reason, remedy)


def _try_map(subject: str, kind: int, libbpf: Libbpf, effective: frozenset[str], remedy: str) -> Finding:
    if libbpf.plain("libbpf_probe_bpf_map_type", kind, None) == 1:
        return yes(subject, "a map was made")
    return _refused(subject, "The kernel refused to make a map.", ("CAP_BPF",), effective, remedy)


def _try_perf_buffer() -> Finding:
    try:
        os.close(open_event(online_processors()[0], 1 << 16))
    except (HoneyguideError, OSError) as error:
        remedy = error.remedy if isinstance(error, HoneyguideError) else ""
        return no("perf buffer", _reason(error), remedy)
    return yes("perf buffer", "perf_event_open")
