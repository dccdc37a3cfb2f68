"""What runs in guests say, as they are kept in docs/kernels.jsonl."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass


class Outcome(enum.StrEnum):
    EXACT = "exact"  # the probe counted its workload to the event and lost nothing
    DIFFERS = "differs"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Trial:
    """hook: its purpose; program: the alternative; chosen: the agent takes it by itself. reason: '' when exact."""

    kernel: str
    probe: str
    hook: str
    program: str
    section: str
    transport: str
    outcome: Outcome
    reason: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Observation:
    """What a command says and how it ends where the kernel lacks something. kept: it is what was promised."""

    kernel: str
    condition: str
    command: str
    status: int
    words: str
    kept: bool


Record = Trial | Observation


def write_line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def read_lines(text: str) -> tuple[list[Trial], list[Observation]]:
    """KeyError and TypeError for lines that are none of ours."""
    found = [json.loads(line) for line in text.splitlines() if line]
    trials = [Trial(**{**one, "outcome": Outcome(one["outcome"])}) for one in found if "probe" in one]
    return trials, [Observation(**one) for one in found if "probe" not in one]
