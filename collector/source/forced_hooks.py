"""Hooks that the user, not the kernel, has chosen (setting `hooks`): to compare them, or to find out why one misleads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from collector.catalog.manifest import Hook
from collector.catalog.probe_folder import Probe
from collector.errors import LoadError


def force_hooks(probe: Probe, sections: Mapping[str, str], words: Collection[str]) -> Probe:
    """The probe with only what `words` name: programs (C functions), kinds of hook (kprobe, fentry) or ways of the probe.

    Of the ways only those stay that are named, else those that have what is named. sections: program -> ELF section.
    LoadError when a word fits nothing.
    """
    if not words:
        return probe
    hooks = probe.manifest.hook
    offered = {program: kind_of(sections.get(program, "")) for hook in hooks for program in hook.alternatives}
    ways = {word_of(way): way for way in probe.manifest.ways}
    for word in words:
        if word not in offered and word not in offered.values() and word not in ways:
            raise LoadError(*_unknown(probe.name, word, offered, list(ways)))
    fitting = [[one for one in hook.alternatives if {one, offered[one]} & set(words)] for hook in hooks]
    taken = {ways[word] for word in words if word in ways} or {
        hook.way for hook, some in zip(hooks, fitting, strict=True) if some and hook.way
    }
    chosen = {
        "hook": [narrow(hook, some) for hook, some in zip(hooks, fitting, strict=True)],
        "ways": [way for way in probe.manifest.ways if way in taken or not taken],
    }
    return replace(probe, manifest=probe.manifest.model_copy(update=chosen))


def _unknown(probe: str, word: str, offered: Mapping[str, str], ways: Sequence[str]) -> tuple[str, str]:
    cause = f"{probe}: `hooks` asks for {word!r}, which is no program, kind of hook or way of this probe."
    there_are = [*ways, *(f"{program} ({kind})" for program, kind in offered.items())]
    return cause, f"There are: {', '.join(there_are)}."


def word_of(way: str) -> str:
    """The name of a way as the setting has it: function_ends for "function ends"."""
    return way.replace(" ", "_")


def narrow(hook: Hook, alternatives: Sequence[str]) -> Hook:
    """Without the other alternatives; one that nobody spoke of stays as it is. What was asked for must be there."""
    return hook.model_copy(update={"alternatives": list(alternatives), "optional": False}) if alternatives else hook


def kind_of(section: str) -> str:
    """kprobe for kprobe/tcp_set_state, iter for iter.s/task."""
    return section.partition("/")[0].removesuffix(".s")
