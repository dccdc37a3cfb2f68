"""docs/kernels.md: what works in which kernel, from the lines of docs/kernels.jsonl. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kernel_archive import series_of, version_key
from trial_record import Observation, Outcome, Trial

HEAD = """# Kernels

Made by `./test-kernels` from `docs/kernels.jsonl`, which that run wrote; do not edit. Each line of that file is one probe, run
in one kernel beside its `workload.py`, by one way into the kernel and over one transport.

- **exact**: the numbers agree with the workload to the event and nothing was lost. Bold: what the agent takes by itself.
- *differs*: it runs, but the numbers do not agree.
- refused: the kernel does not take it; the number leads to its words below. An optional hook that is refused is left out.

Over perf buffers each probe runs as the agent chooses it, over ring buffers by every way; where they differ, both are named.
Counts that stay in maps are carried by neither.
"""


def write_page(trials: Sequence[Trial], observations: Sequence[Observation]) -> str:
    kernels = sorted({trial.kernel for trial in trials}, key=version_key)
    probes = list(dict.fromkeys(trial.probe for trial in trials))
    reasons: list[str] = []
    parts = [HEAD, "## In short\n", write_summary(trials, kernels, probes)]
    for probe in probes:
        parts += [f"## {probe}\n", write_ways([trial for trial in trials if trial.probe == probe], kernels, reasons)]
    if observations:
        parts += ["## Kernels that lack something\n", write_observations(observations)]
    parts += ["## Why not\n", "".join(f"{number}. {reason}\n" for number, reason in enumerate(reasons, 1))]
    return "\n".join(parts)


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def write_summary(trials: Sequence[Trial], kernels: Sequence[str], probes: Sequence[str]) -> str:
    """One line for each probe: how the agent does by itself."""
    rows = []
    for probe in probes:
        cells = []
        for kernel in kernels:
            here = [trial for trial in trials if (trial.probe, trial.kernel) == (probe, kernel)]
            taken = [trial for trial in here if trial.chosen]
            cells.append(describe_choice(here, taken))
        rows.append([probe, *cells])
    return write_table(["probe", *kernels], rows)


def describe_choice(here: Sequence[Trial], taken: Sequence[Trial]) -> str:
    """'exact', and by what other way when the preferred one is not to be had."""
    if not taken:
        return "refused" if here else ""
    worst = "differs" if any(trial.outcome is Outcome.DIFFERS for trial in taken) else "exact"
    first = {trial.hook: trial.program for trial in reversed(here)}
    others = list(dict.fromkeys(f"{one.program} ({one.section})" for one in taken if one.program != first[one.hook]))
    if not others and here[0].hook not in {trial.hook for trial in taken}:
        others = [taken[0].hook.partition(": ")[0]]  # another way of the probe as a whole
    return f"{worst}, falls back to {', '.join(others)}" if others else worst


def write_ways(trials: Sequence[Trial], kernels: Sequence[str], reasons: list[str]) -> str:
    """One line for each alternative of each hook; new reasons go to the end of `reasons`."""
    places = dict.fromkeys((trial.hook, trial.section, trial.program) for trial in trials)
    rows = []
    for place in places:
        here = [trial for trial in trials if (trial.hook, trial.section, trial.program) == place]
        cells = [describe_cell([trial for trial in here if trial.kernel == kernel], reasons) for kernel in kernels]
        hook, section, program = place
        rows.append([hook, f"`{section}`", program, *cells])
    return write_table(["hook", "where", "program", *(series_of(kernel) for kernel in kernels)], rows)


def describe_cell(trials: Sequence[Trial], reasons: list[str]) -> str:
    words = {trial.transport: describe_trial(trial, reasons) for trial in trials}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return ", ".join(f"{transport}: {word}" for transport, word in words.items())


def describe_trial(trial: Trial, reasons: list[str]) -> str:
    if trial.outcome is Outcome.EXACT:
        return "**exact**" if trial.chosen else "exact"
    reason = plain_reason(trial.reason)
    if reason not in reasons:
        reasons.append(reason)
    word = "*differs*" if trial.outcome is Outcome.DIFFERS else "refused"
    return f"{word} ({reasons.index(reason) + 1})"


def plain_reason(reason: str) -> str:
    """Without what changes from run to run."""
    return re.sub(r"\b\d{4,}\b", "N", re.sub(r"\s+", " ", reason)).strip()


def write_observations(observations: Sequence[Observation]) -> str:
    rows = [[one.condition, one.kernel, one.command, str(one.status), plain_reason(one.words)] for one in observations]
    return write_table(["condition", "kernel", "command", "exit status", "what it says"], rows)
