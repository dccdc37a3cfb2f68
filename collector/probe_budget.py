"""What a probe of the user's own may use of the node, and whether it keeps to that. Pure: counters and times in, verdicts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

NANOSECONDS = 1_000_000_000
PATIENCE = 2  # checks in a row over the budget
FAR_OVER = 4.0  # times the budget: no second look
LEAST_MEASURED_NS = NANOSECONDS // 4


@dataclass(frozen=True, slots=True)
class ProbeUse:
    """Since the probe was loaded. user_ns: CPU time of the agent for its rows. kernel_ns: run time of its programs, counted
    while statistics were on, which was measured_ns long. events: records sent, whether or not they found room."""

    user_ns: int
    kernel_ns: int
    measured_ns: int
    events: int

    def plus(self, user_ns: int) -> ProbeUse:
        """With more CPU time in the agent."""
        return replace(self, user_ns=self.user_ns + user_ns)


@dataclass(frozen=True, slots=True)
class Budget:
    """cpu: part of one CPU, for user space and for the kernel each. events: a second."""

    cpu: float
    events: int


@dataclass(frozen=True, slots=True)
class Overrun:
    """A probe that must stop: why, and what its author can do."""

    probe: str
    cause: str
    remedy: str


@dataclass(slots=True)
class BudgetWatch:
    """Compares growing counters with what they were at the last check; the first check of a probe only takes note."""

    budget: Budget
    _last: dict[str, tuple[float, ProbeUse]] = field(default_factory=dict)
    _strikes: dict[str, int] = field(default_factory=dict)

    def check(self, uses: Mapping[str, ProbeUse], now: float) -> list[Overrun]:
        """now: monotonic seconds, at best a second after the last check. Probes that are gone are forgotten."""
        found = [overrun for probe, use in uses.items() if (overrun := self._check_one(probe, use, now)) is not None]
        self._last = {probe: (now, use) for probe, use in uses.items()}
        self._strikes = {probe: count for probe, count in self._strikes.items() if probe in uses}
        return found

    def _check_one(self, probe: str, use: ProbeUse, now: float) -> Overrun | None:
        before, old = self._last.get(probe, (now, use))
        if now <= before:
            return None
        worst, overrun = max(self._judge(probe, old, use, now - before), key=lambda one: one[0])
        self._strikes[probe] = self._strikes.get(probe, 0) + 1 if worst > 1 else 0
        if worst > FAR_OVER or self._strikes[probe] >= PATIENCE:
            return overrun
        return None

    def _judge(self, probe: str, old: ProbeUse, new: ProbeUse, seconds: float) -> list[tuple[float, Overrun]]:
        """(times the budget, what to say) for each budget."""
        again = f"then `honeyguide probe enable {probe}`"
        events = (new.events - old.events) / seconds
        user = (new.user_ns - old.user_ns) / NANOSECONDS / seconds
        measured = new.measured_ns - old.measured_ns
        kernel = (new.kernel_ns - old.kernel_ns) / measured if measured >= LEAST_MEASURED_NS else 0.0
        allowed = f"{self.budget.events:,} are allowed"
        cpu = f"{self.budget.cpu:.0%} are allowed (HONEYGUIDE_PROBE_CPU_MAX)"
        return [
            (events / self.budget.events, Overrun(
                probe, f"it sent {events:,.0f} events a second; {allowed} (HONEYGUIDE_PROBE_EVENTS_MAX).",
                f"Filter, sample or count in the kernel (a map instead of a ring), or raise the limit; {again}.",
            )),
            (kernel / self.budget.cpu, Overrun(
                probe, f"its programs took {kernel:.0%} of a CPU in the kernel; {cpu}.",
                f"Do less at each event, choose a hook that is hit less often, or raise the limit; {again}.",
            )),
            (user / self.budget.cpu, Overrun(
                probe, f"its rows took {user:.0%} of a CPU in the agent; {cpu}.",
                f"Send fewer rows, do less in probe.py, or raise the limit; {again}.",
            )),
        ]  # fmt: skip
