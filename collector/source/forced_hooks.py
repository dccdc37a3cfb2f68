"""Hooks that the user, not the kernel, has chosen (setting `hooks`): to compare them, or to find out why one misleads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from collector.catalog.manifest import Hook
from collector.catalog.probe_folder import Probe
from collector.errors import LoadError


def force_hooks(probe: Probe, sections: Mapping[str, str], words: Collection[str]) -> Probe:
    """The probe with only those alternatives that `words` name: programs (C functions) or kinds of hook (kprobe, fentry).

    sections: program -> ELF section. LoadError when a word fits none.
    """
    if not words:
        return probe
    hooks = probe.manifest.hook
    offered = {program: kind_of(sections.get(program, "")) for hook in hooks for program in hook.alternatives}
    unknown = [word for word in words if word not in offered and word not in offered.values()]
    if unknown:
        cause = f"{probe.name}: `hooks` asks for {unknown[0]!r}, which is no program and no kind of hook of this probe."
        raise LoadError(cause, f"There are: {', '.join(f'{program} ({kind})' for program, kind in offered.items())}.")
    chosen = [narrow(hook, [one for one in hook.alternatives if {one, offered[one]} & set(words)]) for hook in hooks]
    return replace(probe, manifest=probe.manifest.model_copy(update={"hook": chosen}))


def narrow(hook: Hook, alternatives: Sequence[str]) -> Hook:
    """Without the other alternatives; one that nobody spoke of stays as it is. What was asked for must be there."""
    return hook.model_copy(update={"alternatives": list(alternatives), "optional": False}) if alternatives else hook


def kind_of(section: str) -> str:
    """kprobe for kprobe/tcp_set_state, iter for iter.s/task."""
    return section.partition("/")[0].removesuffix(".s")
