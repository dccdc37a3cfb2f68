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

from collector.catalog.manifest import Hook, Manifest
from collector.catalog.probe_folder import find_folders, read_manifest, read_probe
from collector.errors import HoneyguideError
from collector.probe_status import HookStatus
from collector.source.forced_hooks import kind_of, word_of
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


def try_probe(probe: str, manifest: Manifest, sections: dict[str, str], transport: str) -> Iterator[Trial]:
    """One trial for each way, and for each alternative of each hook; what the agent chooses by itself needs no more trials.

    Over the second transport only what it chooses: what carries the records does not know where they come from.
    """
    answers = {"": ask(probe, transport)}
    taken = {hook.program for hook in answers[""].hooks}
    for way in manifest.ways or [""]:
        hooks = manifest.of_way(way).hook
        is_taken = taken and taken <= {program for hook in hooks for program in hook.alternatives}
        wanted = "" if is_taken or not way else word_of(way)
        if wanted and transport != TRANSPORTS[0]:
            continue
        if wanted not in answers:
            answers[wanted] = ask(probe, transport, wanted)
        for hook in hooks:
            for program in hook.alternatives:
                word = word_for(program, hook, sections, wanted, answers[wanted])
                if word and transport != TRANSPORTS[0]:
                    continue
                if word not in answers:
                    answers[word] = ask(probe, transport, word)
                purpose = f"{way}: {hook.purpose}" if way else hook.purpose
                where = (os.uname().release, probe, purpose, program, sections[program], transport)
                chosen = bool(is_taken or not way) and program in taken
                yield Trial(*where, answers[word].outcome, answers[word].reason, chosen)


def word_for(program: str, hook: Hook, sections: dict[str, str], way: str, answer: Answer) -> str:
    """What forces that alternative: its kind, so that hooks which belong together change together, else its name.

    way, answer: the word that forces its way and what came of that; they do where it is the program in use or the only one.
    """
    used = {one.program for one in answer.hooks}
    if program in used or (not used and len(hook.alternatives) == 1 and not hook.optional) or (way and not used):
        return way
    kinds = [kind_of(sections[other]) for other in hook.alternatives]
    kind = kind_of(sections[program])
    return kind if kinds.count(kind) == 1 and len(kinds) > 1 else program


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", default="", help="only these, separated by commas")
    arguments = parser.parse_args(words)
    logging.disable()  # what is refused is told below
    libbpf = load_libbpf()
    for folder in find_folders([PROBES]):
        if arguments.probes and folder.name not in arguments.probes.split(","):
            continue
        manifest = read_manifest(folder)
        sections = read_sections(read_probe(folder, None), libbpf)
        # Counts that stay in maps are not carried by either.
        transports = TRANSPORTS if any(record.ring for record in manifest.record) else TRANSPORTS[:1]
        for transport in transports:
            for trial in try_probe(folder.name, manifest, sections, transport):
                sys.stdout.write(write_line(trial))
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
