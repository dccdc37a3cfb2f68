"""What a run in a guest says about one way into one kernel."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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
