"""Whether what we show can be trusted now: degraded, with reasons, while something is being lost or a limit is hit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collector.accounts import Book
from collector.cluster_status import WatchState, WatchStatus
from collector.probe_status import ProbeState, ProbeStatus

MEMORY_SECONDS = 30.0
UNHEARD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """status: ok or degraded. reasons: one sentence each, what and what to do."""

    status: str
    reasons: tuple[str, ...]
    since: float


@dataclass(slots=True)
class HealthMonitor:
    """Compares growing counters with what they were; a reason stays until it has not grown for MEMORY_SECONDS."""

    _counters: dict[str, int] = field(default_factory=dict)
    _reasons: dict[str, tuple[str, float]] = field(default_factory=dict)
    _since: float = 0.0
    _status: str = "ok"

    def check_books(self, books: Sequence[Book], now: float) -> None:
        for book in books:
            for reason, count in {**book.dropped, "undecodable": book.undecodable, "missed": book.missed}.items():
                place = f"probe {book.probe} ({book.account})"
                self.check(f"{book.probe}/{book.account}/{reason}", count, f"{place} lost {{}} events: {explain(reason)}.", now)

    def check_statuses(self, statuses: Sequence[ProbeStatus], now: float) -> None:
        for status in statuses:
            if status.state is ProbeState.REFUSED:
                self._reasons[f"{status.probe}/refused"] = (f"probe {status.probe} cannot run: {status.cause}", now)
            elif status.state is ProbeState.STOPPED:
                self._reasons[f"{status.probe}/stopped"] = (
                    f"probe {status.probe} was stopped: {status.cause} {status.remedy}",
                    now,
                )

    def check_watches(self, watches: Sequence[WatchStatus], now: float) -> None:
        """now: unix s. A watch that is tried again may have missed little; one that is for long, or is refused, has."""
        for watch in watches:
            if watch.state is WatchState.REFUSED or (
                watch.state is WatchState.RETRYING and now - watch.heard_at > UNHEARD_SECONDS
            ):
                sentence = f"what is known of Kubernetes {watch.resource} may be old or missing: {watch.cause} {watch.remedy}"
                self._reasons[f"kubernetes/{watch.resource}"] = (sentence.strip(), now)

    def check(self, name: str, count: int, sentence: str, now: float) -> None:
        """count: a counter of something unwanted; sentence has one {} for how much it grew since the last check."""
        grown = count - self._counters.get(name, 0)
        self._counters[name] = count
        if grown > 0:
            self._reasons[name] = (sentence.replace("{}", str(grown)), now)

    def check_limits(self, exceeded: Mapping[str, int], now: float) -> None:
        """exceeded: limit -> how often something did not fit, since the start."""
        for limit, count in exceeded.items():
            self.check(f"limit/{limit}", count, f"{{}} times over the limit {limit}: raise it, or see what makes so many.", now)

    def health(self, now: float) -> Health:
        self._reasons = {name: reason for name, reason in self._reasons.items() if now - reason[1] < MEMORY_SECONDS}
        status = "degraded" if self._reasons else "ok"
        if status != self._status or not self._since:
            self._status, self._since = status, now
        return Health(status, tuple(sentence for sentence, _ in self._reasons.values()), self._since)


def explain(reason: str) -> str:
    """What a loss means and what helps."""
    return {
        "ring_full": "its ring was full; a larger HONEYGUIDE_RING_BYTES or a shorter HONEYGUIDE_DRAIN_INTERVAL_MAX helps",
        "map_full": "its map in the kernel was full; a larger limit helps (HONEYGUIDE_MAX_CONNECTIONS, HONEYGUIDE_MAX_UDP_FLOWS)",
        "unreadable": "the kernel could not read them",
        "undecodable": "they did not have the size or form that their manifest promises",
        "buffer_full": "more happened at once than the kernel keeps for us; the whole is read again",
        "missed": "the program was already running on that CPU",
    }.get(reason, reason)
