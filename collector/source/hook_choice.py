"""Chooses the first way of a probe that this kernel takes and, for every hook of it, the first alternative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from collector.catalog.manifest import Hook
from collector.catalog.probe_folder import Probe
from collector.errors import HoneyguideError, LoadError
from collector.source.bcc_object import BccObject
from collector.source.forced_hooks import force_hooks, kind_of
from collector.source.hook_support import TRAMPOLINE_HOOKS, KernelFacts
from collector.source.libbpf import Libbpf
from collector.source.loaded_probe import LoadedProbe, LoadSettings
from collector.source.program_object import ProgramObject

REMEDY = "`honeyguide doctor` shows what this kernel and these privileges allow."
TRAMPOLINE_REMEDY = f"fentry and fexit need a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS. {REMEDY}"


def load_probe(probe: Probe, libbpf: Libbpf, settings: LoadSettings, facts: KernelFacts) -> LoadedProbe:
    """The probe, running, by the first of its ways that can be; LoadError names every way and what it lacks.

    Only by what the setting `hooks` allows, where that speaks of it.
    """
    check_settings(probe, settings)
    words = settings.forced_hooks.get(probe.name, ())
    sections = read_sections(probe, libbpf)
    forced = force_hooks(probe, sections, words)

    def load(way: Probe) -> LoadedProbe:
        return load_way(way, libbpf, settings, possible_alternatives(way, sections, facts))

    try:
        return load_first_way(forced, load)
    except LoadError as error:
        if not words and error.remedy == REMEDY and has_only_trampolines(probe.manifest.hook, sections):
            raise LoadError(error.cause, TRAMPOLINE_REMEDY) from None
        if not words:
            raise
        raise LoadError(error.cause, f"`hooks` allows only {', '.join(words)} here. Without it, what works is taken.") from None


def has_only_trampolines(hooks: Sequence[Hook], sections: Mapping[str, str]) -> bool:
    """Whether some hook can be served by nothing else: the kernel then says no more than EPERM."""
    return any(all(kind_of(sections[program]) in TRAMPOLINE_HOOKS for program in hook.alternatives) for hook in hooks)


def load_first_way(probe: Probe, load: Callable[[Probe], LoadedProbe]) -> LoadedProbe:
    """load: loads a probe that has one way; LoadError when it cannot."""
    ways = probe.manifest.ways
    if not ways:
        return load(probe)
    refusals = []
    for way in ways:
        try:
            return load(replace(probe, manifest=probe.manifest.of_way(way)))
        except LoadError as error:
            refusals.append(f"{way}: {error.cause.removeprefix(f'{probe.name}: ')}")
    none = "none of its ways is open here: " if len(ways) > 1 else ""
    raise LoadError(f"{probe.name}: {none}{' | '.join(refusals)}", REMEDY)


def load_way(probe: Probe, libbpf: Libbpf, settings: LoadSettings, candidates: Mapping[str, Sequence[str]]) -> LoadedProbe:
    """First the alternatives that look possible; when the kernel refuses them, each on its own.

    candidates: hook purpose -> alternatives to try. LoadError names, for the first hook that cannot be served, every
    alternative and its reason.
    """

    def open_with(choice: dict[str, str]) -> LoadedProbe:
        return open_probe(LoadedProbe(probe, libbpf, settings), choice)

    def refusal(hook: Hook, program: str) -> str:
        try:
            open_with({hook.purpose: program}).close()
        except LoadError as error:
            return error.cause
        return ""

    try:
        return open_with({purpose: programs[0] for purpose, programs in candidates.items()})
    except LoadError as error:
        if not any(hook.optional or len(candidates[hook.purpose]) > 1 for hook in served(probe, candidates)):
            raise LoadError(error.cause, error.remedy or REMEDY) from None
    return open_with(choose_programs(probe.name, served(probe, candidates), candidates, refusal))


def load_bcc_probe(probe: Probe, ready: BccObject, libbpf: Libbpf, settings: LoadSettings) -> LoadedProbe:
    """The same for programs that bcc has loaded; LoadError, and then they are closed."""
    try:
        candidates = {hook.purpose: hook.alternatives for hook in probe.manifest.hook}
        choice = choose_programs(probe.name, probe.manifest.hook, candidates, lambda _, program: ready.refusal(program))
        return open_probe(LoadedProbe(probe, libbpf, settings, ready), choice)
    except BaseException:
        ready.close()
        raise


def open_probe(loaded: LoadedProbe, choice: dict[str, str]) -> LoadedProbe:
    """LoadError for whatever libbpf and the kernel have against it; nothing stays behind then."""
    try:
        loaded.open(choice)
    except LoadError:
        raise
    except (HoneyguideError, OSError) as error:
        raise LoadError(f"{loaded.probe.name}: {error}") from None
    return loaded


def check_settings(probe: Probe, settings: LoadSettings) -> None:
    """Maps are sized by settings that are one number, variables filled by any."""
    for section, wanted in (("maps", probe.manifest.maps), ("variables", probe.manifest.variables)):
        allowed = [name for name, value in settings.values.items() if section == "variables" or isinstance(value, int)]
        for name, setting in wanted.items():
            if setting not in allowed:
                cause = f"{probe.name}: probe.toml fills {section}.{name} from {setting!r}, which is no setting for it."
                raise LoadError(cause, f"There are: {', '.join(allowed)}.")


def served(probe: Probe, candidates: Mapping[str, Sequence[str]]) -> list[Hook]:
    return [hook for hook in probe.manifest.hook if hook.purpose in candidates]


def possible_alternatives(probe: Probe, sections: Mapping[str, str], facts: KernelFacts) -> dict[str, list[str]]:
    """hook purpose -> alternatives not ruled out; LoadError when a hook that is not optional has none."""
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


def choose_programs(
    probe: str, hooks: Sequence[Hook], candidates: Mapping[str, Sequence[str]], refusal: Callable[[Hook, str], str]
) -> dict[str, str]:
    """hook purpose -> first alternative without a refusal; LoadError with all reasons when a hook that must be has none.

    refusal: '' when the alternative loads and attaches on its own, otherwise why not.
    """
    choice: dict[str, str] = {}
    reasons: list[str] = []
    for hook in hooks:
        reasons = []
        for program in candidates[hook.purpose]:
            reason = refusal(hook, program)
            if not reason:
                choice[hook.purpose] = program
                break
            reasons.append(reason)
        if hook.purpose not in choice and not hook.optional:
            raise LoadError(f"{probe}: no way to see {hook.purpose}: {' | '.join(reasons)}", REMEDY)
    if not choice:
        raise LoadError(f"{probe}: none of its hooks can be attached: {' | '.join(reasons)}", REMEDY)
    return choice
