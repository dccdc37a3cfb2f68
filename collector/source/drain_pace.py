"""How long to wait between drains for rings that wake nobody: long while nearly empty, shorter as they fill. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_SECONDS = 0.005
BUSY, QUIET = 0.25, 0.05


@dataclass(slots=True)
class DrainPace:
    """A ring found a quarter full halves the wait, at least; one nearly empty doubles it."""

    _wait: float = float("inf")

    def next_wait(self, fill: float, longest: float) -> float:
        """fill: the fullest ring at the last drain, 0..1. Seconds to wait now."""
        self._wait = min(self._wait, longest)
        if fill > BUSY:
            self._wait *= BUSY / fill / 2
        elif fill < QUIET:
            self._wait *= 2
        self._wait = min(max(self._wait, SHORTEST_SECONDS), longest)
        return self._wait
