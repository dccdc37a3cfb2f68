"""Runs in a guest (or on a host): every way into the kernel of every probe, over both transports; prints a line of JSON for each.

Each alternative of each hook is forced, the others as the agent would choose them. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from probe_trial import PROBES, differences, open_source
from trial_record import Outcome, Trial, write_line

from collector.catalog.manifest import Hook
from collector.catalog.probe_folder import find_folders, read_manifest, read_probe
from collector.errors import HoneyguideError
from collector.probe_status import HookStatus
from collector.source.forced_hooks import kind_of
from collector.source.hook_choice import read_sections
from collector.source.libbpf import load_libbpf

TRANSPORTS = ("ring", "perf")


@dataclass(frozen=True, slots=True)
class Answer:
    """hooks: those in use when it ran."""

    outcome: Outcome
    reason: str
    hooks: tuple[HookStatus, ...] = ()


def ask(probe: str, transport: str, word: str = "") -> Answer:
    """What comes of running the probe beside its workload. word: what `hooks` asks for, '' for nothing."""
    started = time.monotonic()
    answer = run_beside_workload(probe, transport, [f"{probe}={word}"] if word else [])
    way = word or "as chosen"
    line = (
        f"  {probe:12} {transport}  {way:28} {answer.outcome.value:8} {time.monotonic() - started:5.1f} s  {answer.reason[:160]}"
    )
    print(line.rstrip(), file=sys.stderr, flush=True)
    return answer


def run_beside_workload(probe: str, transport: str, hooks: Sequence[str]) -> Answer:
    try:
        source = open_source(probe, transport, hooks)
    except HoneyguideError as error:
        return Answer(Outcome.REFUSED, error.cause.removeprefix(f"{probe}: "))
    try:
        wrong = differences(source)
        used = next(status.hooks for status in source.statuses() if status.probe == probe)
        return Answer(Outcome.DIFFERS if wrong else Outcome.EXACT, "; ".join(wrong[:2]), used)
    except (subprocess.SubprocessError, ValueError) as error:
        told = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return Answer(Outcome.DIFFERS, f"its workload failed: {told[-1] if told else error}")
    finally:
        source.close()


def try_probe(probe: str, hooks: Sequence[Hook], sections: dict[str, str], transport: str) -> Iterator[Trial]:
    """One trial for each alternative of each hook; what the agent chooses by itself needs no trial of its own."""
    answers = {"": ask(probe, transport)}
    in_use = {hook.purpose: hook.program for hook in answers[""].hooks}
    for hook in hooks:
        for program in hook.alternatives:
            chosen = in_use.get(hook.purpose) == program
            only_way = len(hook.alternatives) == 1 and not hook.optional
            word = "" if chosen or (only_way and not in_use) else word_for(program, hook, sections)
            if word not in answers:
                answers[word] = ask(probe, transport, word)
            where = (os.uname().release, probe, hook.purpose, program, sections[program], transport)
            yield Trial(*where, answers[word].outcome, answers[word].reason, chosen)


def word_for(program: str, hook: Hook, sections: dict[str, str]) -> str:
    """What forces that alternative: its kind, so that hooks which belong together change together, else its name."""
    kinds = [kind_of(sections[other]) for other in hook.alternatives]
    kind = kind_of(sections[program])
    return kind if kinds.count(kind) == 1 and len(kinds) > 1 else program


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", default="", help="only these, separated by commas")
    parser.add_argument("--transports", default=",".join(TRANSPORTS), help="only these, separated by commas")
    arguments = parser.parse_args(words)
    logging.disable()  # what is refused is told below
    libbpf = load_libbpf()
    for folder in find_folders([PROBES]):
        if arguments.probes and folder.name not in arguments.probes.split(","):
            continue
        manifest = read_manifest(folder)
        sections = read_sections(read_probe(folder, None), libbpf)
        # Counts that stay in maps are not carried by either.
        transports = arguments.transports.split(",") if any(record.ring for record in manifest.record) else ["ring"]
        for transport in transports:
            for trial in try_probe(folder.name, manifest.hook, sections, transport):
                sys.stdout.write(write_line(trial))
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
