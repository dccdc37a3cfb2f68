"""How long to wait before asking again: exponential with full jitter, so that a thousand agents do not come back at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_SECONDS = 0.8
LONGEST_SECONDS = 30.0
LEAST_SECONDS = 0.05
# A stream that lived so long was a success. Shorter ones are failures: a server that hangs up at once is not asked in a circle.
LIVED_SECONDS = 5.0
LONGEST_REQUESTED_SECONDS = 120.0


@dataclass(slots=True)
class Backoff:
    """scale: tests make waits short with it. chance: gives numbers in [0, 1)."""

    scale: float = 1.0
    chance: random.Random = field(default_factory=random.Random)
    attempts: int = 0

    def lived(self, seconds: float) -> None:
        """What was asked for worked for so long."""
        if seconds >= LIVED_SECONDS:
            self.attempts = 0

    def next_wait(self, requested: float = 0.0) -> float:
        """Seconds. requested: what the server asked for (Retry-After); jitter comes on top, never below."""
        bound = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.attempts, 16))
        self.attempts += 1
        waited = max(LEAST_SECONDS, self.chance.uniform(0, bound)) * self.scale
        return waited + min(requested, LONGEST_REQUESTED_SECONDS)
