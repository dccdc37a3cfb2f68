"""Runs in a guest that lacks something: what do the commands say there, and how do they end? Prints a line of JSON for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trial_record import Observation, write_line

RUN = ("run", "--listen", "127.0.0.1:0")
RECORD = ("record", "-o", "/tmp/condition.recording", "--seconds", "1")
NO_RING_BUFFER = Path(__file__).resolve().parents[2] / "build/kernels/refuse_ring_buffers.bpf.o"


def honeyguide(*words: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    done = subprocess.run([sys.executable, "-m", "collector", *words], capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stdout, done.stderr


def observe(condition: str, words: tuple[str, ...], status: int, *promised: str) -> Observation:
    """promised: what must stand in its message. A traceback is never promised."""
    ended, _, said = honeyguide(*words)
    kept = ended == status and "Traceback" not in said and all(phrase in said for phrase in promised)
    return Observation(os.uname().release, condition, f"honeyguide {' '.join(words)}", ended, said.strip()[-600:], kept)


def observe_doctor(condition: str, statuses: set[int], subject: str, promised: str) -> Observation:
    """statuses: it may end with one. subject: of the line that must say no, with `promised` in its cause, and a remedy."""
    ended, report, said = honeyguide("doctor", "--json")
    findings = [one for group in json.loads(report).values() if isinstance(group, list) for one in group]
    found = next((one for one in findings if one.get("subject") == subject), {})
    kept = ended in statuses and not said and found["verdict"] == "no" and promised in found["cause"] and bool(found["remedy"])
    return Observation(
        os.uname().release,
        condition,
        "honeyguide doctor",
        ended,
        f"{subject}: {found.get('cause')} -> {found.get('remedy')}",
        kept,
    )


def as_it_is() -> Iterator[Observation]:
    """The doctor's table against what really loads and attaches."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/kernel/test_doctor_truth.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    sys.stderr.write(done.stdout if done.returncode else "")
    last = done.stdout.strip().splitlines()[-1:] or [done.stderr[-300:]]
    words = last[0].partition(" in ")[0]
    yield Observation(
        os.uname().release, "as it is", "honeyguide doctor, against what loads", done.returncode, words, not done.returncode
    )


def without_btf() -> Iterator[Observation]:
    yield observe_doctor("no BTF", {3}, "BTF", "does not describe its own types")
    yield observe("no BTF", RUN, 1, "no BTF", "->")


def confidential() -> Iterator[Observation]:
    yield observe_doctor("lockdown=confidentiality", {3}, "lockdown", "may not read kernel memory")
    yield observe("lockdown=confidentiality", RUN, 1, "lockdown", "->")


def integral() -> Iterator[Observation]:
    yield observe("lockdown=integrity", RECORD, 0)


def without_ring_buffers() -> Iterator[Observation]:
    """A BPF LSM program answers as kernels before 5.8 do: there is no such kind of map. (5.10 does not call it.)"""
    from collector.source.kernel_obstacle import NO_RING_BUFFERS  # noqa: PLC0415
    from collector.source.libbpf import load_libbpf  # noqa: PLC0415 -- the others need no agent
    from collector.source.program_object import RINGBUF, ProgramObject  # noqa: PLC0415

    libbpf = load_libbpf()
    refusal = ProgramObject("refusal", libbpf)
    refusal.open(NO_RING_BUFFER.read_bytes())
    refusal.select("refuse_ring_buffers")
    refusal.load()
    refusal.attach("refuse_ring_buffers")
    try:
        if libbpf.plain("libbpf_probe_bpf_map_type", RINGBUF, None) == 1:
            sys.stderr.write("  this kernel does not ask the program, so ring buffers cannot be taken away\n")
            return
        name = "no ring buffers"
        yield observe_doctor(name, {0, 1}, "ring buffer", "refused to make a map")
        yield observe(name, RECORD, 0)
        # what needs no ring still runs
        yield observe(name, (*RECORD, "--transport", "ring"), 0, NO_RING_BUFFERS.cause, NO_RING_BUFFERS.remedy)
    finally:
        refusal.close()


CONDITIONS = {
    "as_it_is": as_it_is,
    "without_btf": without_btf,
    "confidential": confidential,
    "integral": integral,
    "without_ring_buffers": without_ring_buffers,
}

if __name__ == "__main__":
    for observation in CONDITIONS[sys.argv[1]]():
        sys.stdout.write(write_line(observation))
        sys.stdout.flush()
        kept = "as promised" if observation.kept else "NOT as promised"
        sys.stderr.write(f"  {observation.condition}: {observation.command} {observation.status}, {kept}\n")
