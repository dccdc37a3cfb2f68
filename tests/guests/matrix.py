"""Every probe in one kernel, then the kernel with something taken away; what came of it as records."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from boot_files import BootFiles
from kernel_archive import series_of
from trial_record import Observation, Outcome, Record, Trial, read_lines
from virtual_machine import Job, run_job

ROOT = Path(__file__).resolve().parents[2]
REFUSAL = "refuse_ring_buffers"
SECONDS = 1800
CONDITIONS_IN = "6.1"  # what is said where something lacks is said by user space, so one kernel is enough
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Condition:
    """name: of the function in guest_conditions.py."""

    name: str
    kernel_arguments: str = ""
    without_btf: bool = False


CONDITIONS = (
    Condition("as_it_is"),
    Condition("without_btf", without_btf=True),
    Condition("confidential", "lockdown=confidentiality"),
    Condition("integral", "lockdown=integrity"),
    Condition("without_ring_buffers", "lsm=lockdown,bpf"),
)


def try_probes(release: str, files: BootFiles, probes: str, say: Say) -> list[Record]:
    """All trials; with probes named (separated by commas) only theirs."""
    say(f"{release}: every way of {probes or 'every probe'}")
    words = ["tests/guests/guest_trials.py", *(["--probes", probes] if probes else [])]
    return run_script(release, files, words, Condition(""), say)


def try_condition(release: str, files: BootFiles, condition: Condition, say: Say) -> list[Record]:
    say(f"{release}: {condition.name}")
    return run_script(release, files, ["tests/guests/guest_conditions.py", condition.name], condition, say)


def conditions_for(release: str) -> Sequence[Condition]:
    return CONDITIONS if series_of(release) == CONDITIONS_IN else CONDITIONS[:1]


def run_script(release: str, files: BootFiles, words: Sequence[str], condition: Condition, say: Say) -> list[Record]:
    """What the script printed; RuntimeError when it did not end well."""
    job = Job(
        command=shlex.join([".venv/bin/python", *words]),
        folder=ROOT,
        environment={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'tests/kernel'}"},
        kernel_arguments=condition.kernel_arguments,
        without_btf=condition.without_btf,
        seconds=SECONDS,
    )
    printed = io.BytesIO()
    outcome = run_job(files, job, printed, sys.stderr.buffer)
    say(f"{release}: took {outcome.seconds:.0f} s, of which {outcome.boot_seconds:.1f} s to start")
    if outcome.status:
        raise RuntimeError(f"{release}: {' '.join(words)} ended with {outcome.status}. {outcome.complaint}")
    trials, observations = read_lines(printed.getvalue().decode())
    return [*trials, *observations]


def compile_refusal() -> None:
    """The program that takes ring buffers away, where guest_conditions.py looks for it."""
    folder = ROOT / "build/kernels"
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).resolve().parent / f"{REFUSAL}.bpf.c"
    command = ["clang", "-g", "-O2", "-target", "bpf", "-D__TARGET_ARCH_x86", "-Wall", "-Wextra", "-Werror"]
    includes = ["-isystem", str(ROOT / "probes/build/include")]
    subprocess.run([*command, *includes, "-c", source, "-o", folder / f"{REFUSAL}.bpf.o"], check=True)


def find_faults(records: Sequence[Record]) -> list[str]:
    """What contradicts the promise: the same numbers by whatever way, and words where there is none."""
    trials = [record for record in records if isinstance(record, Trial)]
    wrong = [
        f"{trial.kernel}: {trial.probe} by {trial.section} over {trial.transport}: {trial.reason}"
        for trial in trials
        if trial.outcome is Outcome.DIFFERS
    ]
    tried = dict.fromkeys((trial.kernel, trial.probe) for trial in trials)
    exact = {(trial.kernel, trial.probe) for trial in trials if trial.chosen and trial.outcome is Outcome.EXACT}
    wrong += [f"{kernel}: {probe} does not run" for kernel, probe in tried if (kernel, probe) not in exact]
    broken = [record for record in records if isinstance(record, Observation) and not record.kept]
    return wrong + [f"{one.kernel}: {one.condition}: {one.command} ended with {one.status}: {one.words}" for one in broken]
