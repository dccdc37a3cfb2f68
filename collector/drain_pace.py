"""How long to wait between drains: as long as allowed while rings are nearly empty, shorter as they fill. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

SHORTEST_SECONDS = 0.005
BUSY, QUIET = 0.25, 0.05


@dataclass(slots=True)
class DrainPace:
    """longest: seconds. A ring found a quarter full halves the wait, at least; one nearly empty doubles it."""

    longest: float
    _wait: float = field(init=False)

    def __post_init__(self) -> None:
        self._wait = self.longest

    def next_wait(self, fill: float) -> float:
        """fill: the fullest ring at the last drain, 0..1. Seconds to wait now."""
        if fill > BUSY:
            self._wait *= BUSY / fill / 2
        elif fill < QUIET:
            self._wait *= 2
        self._wait = min(max(self._wait, SHORTEST_SECONDS), self.longest)
        return self._wait
