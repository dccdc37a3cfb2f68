"""What became of each probe at start, in words a person can act on."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class ProbeState(enum.Enum):
    RUNNING = "running"
    REFUSED = "refused"  # this kernel, these privileges or its own files do not let it run
    DISABLED = "disabled"  # switched off by the user, or of no use where the agent lives
    STOPPED = "stopped"  # ran, and was over its budget or wrong in Python
    REPLAYED = "replayed"  # its records come from a recording


@dataclass(frozen=True, slots=True)
class HookStatus:
    """purpose: what for; program: the C function in use; section: how it is attached, e.g. tp_btf/inet_sock_set_state."""

    purpose: str
    program: str
    section: str


@dataclass(frozen=True, slots=True)
class ProgramCost:
    """Run time of one loaded program; zero until statistics were switched on."""

    program: str
    run_time_ns: int
    runs: int


@dataclass(frozen=True, slots=True)
class ProbeStatus:
    """cause and remedy are '' while the probe runs. notes: what a running probe cannot see just now, and why.

    libraries: path of each library whose functions are hooked -> how many processes use it. folder: where it came from, ''
    for a recording.
    """

    probe: str
    question: str
    state: ProbeState
    hooks: tuple[HookStatus, ...] = field(default_factory=tuple)
    cause: str = ""
    remedy: str = ""
    costs: tuple[ProgramCost, ...] = field(default_factory=tuple)
    notes: tuple[str, ...] = field(default_factory=tuple)
    libraries: Mapping[str, int] = field(default_factory=dict)
    folder: str = ""
