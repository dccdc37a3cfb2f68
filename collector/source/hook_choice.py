"""Chooses, for every hook of a probe, the first alternative that this kernel takes."""

from __future__ import annotations

from collector.catalog.manifest import Hook
from collector.catalog.probe_folder import Probe
from collector.errors import LoadError
from collector.source.hook_support import KernelFacts
from collector.source.libbpf import Libbpf
from collector.source.loaded_probe import LoadedProbe, LoadSettings
from collector.source.program_object import ProgramObject

REMEDY = "`honeyguide doctor` shows what this kernel and these privileges allow."


def load_probe(probe: Probe, libbpf: Libbpf, settings: LoadSettings, facts: KernelFacts) -> LoadedProbe:
    """The probe, running. First the alternatives that look possible; when the kernel refuses them, each on its own.

    LoadError names, for the first hook that cannot be served, every alternative and its reason.
    """
    candidates = possible_alternatives(probe, libbpf, facts)
    loaded = LoadedProbe(probe, libbpf, settings)
    try:
        loaded.open({purpose: programs[0] for purpose, programs in candidates.items()})
        return loaded
    except LoadError as error:
        if all(len(programs) == 1 for programs in candidates.values()):
            raise LoadError(error.cause, error.remedy or REMEDY) from None
    choice = {
        hook.purpose: first_that_loads(probe, libbpf, settings, hook, candidates[hook.purpose])
        for hook in probe.manifest.hook
        if hook.purpose in candidates
    }
    loaded = LoadedProbe(probe, libbpf, settings)
    loaded.open(choice)
    return loaded


def possible_alternatives(probe: Probe, libbpf: Libbpf, facts: KernelFacts) -> dict[str, list[str]]:
    """hook purpose -> alternatives not ruled out; LoadError when a hook that is not optional has none."""
    sections = read_sections(probe, libbpf)
    possible: dict[str, list[str]] = {}
    for hook in probe.manifest.hook:
        refusals = {}
        for program in hook.alternatives:
            if program not in sections:
                raise LoadError(f"{probe.name}: the object has no program {program}.", "Check `alternatives` in probe.toml.")
            refusals[program] = facts.refusal(sections[program])
        allowed = [program for program, refusal in refusals.items() if not refusal]
        if allowed:
            possible[hook.purpose] = allowed
        elif not hook.optional:
            reasons = "; ".join(f"{sections[program]}: {refusal}" for program, refusal in refusals.items())
            raise LoadError(f"{probe.name}: no way to see {hook.purpose}: {reasons}.", REMEDY)
    return possible


def read_sections(probe: Probe, libbpf: Libbpf) -> dict[str, str]:
    """C function -> ELF section, without touching the kernel."""
    opened = ProgramObject(probe.name, libbpf)
    try:
        opened.open(probe.object_bytes)
        return {program: opened.section(program) for program in opened.programs}
    finally:
        opened.close()


def first_that_loads(probe: Probe, libbpf: Libbpf, settings: LoadSettings, hook: Hook, programs: list[str]) -> str:
    """Loads and attaches each alternative alone until one works; LoadError with all reasons otherwise."""
    reasons = []
    for program in programs:
        trial = LoadedProbe(probe, libbpf, settings)
        try:
            trial.open({hook.purpose: program})
        except LoadError as error:
            reasons.append(error.cause)
        else:
            return program
        finally:
            trial.close()
    raise LoadError(f"{probe.name}: no way to see {hook.purpose}: {' | '.join(reasons)}", REMEDY)
