"""From what counters stand at to what came since it was last delivered.

A baseline moves only when its numbers have arrived, so what an endpoint did not take is in the next delta. An answer that
got lost on the way back makes the endpoint count twice: OTLP has no way to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from collector.export.histogram_merge import since
from collector.instruments import AttributeValue, HistogramValue, Instrument, Point

SeriesKey = tuple[str, int, frozenset[tuple[str, AttributeValue]]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was delivered of one series: its value and when it was read (unix seconds)."""

    value: float | HistogramValue
    taken_at: float
    started_at: float


@dataclass(frozen=True, slots=True)
class Delta:
    """value: what came after started_at; None when nothing did. after: the baseline once this is delivered."""

    value: float | HistogramValue | None
    started_at: float
    key: SeriesKey
    after: Baseline


@dataclass(slots=True)
class DeltaTracker:
    """Holds one baseline for each series of the last snapshot, no more."""

    _delivered: dict[SeriesKey, Baseline] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._delivered)

    def delta(self, instrument: Instrument, point: Point, taken_at: float) -> Delta:
        key = series_key(instrument, point)
        after = Baseline(point.value, taken_at, point.started_at)
        before = self._delivered.get(key)
        value, started_at = point.value, point.started_at
        if before is not None and point.started_at <= before.started_at:
            grown = _growth(point.value, before.value)
            if grown is not None:
                value, started_at = grown, before.taken_at
        amount = value.count if isinstance(value, HistogramValue) else value
        return Delta(value if amount else None, min(started_at, taken_at), key, after)

    def deliver(self, deltas: Iterable[Delta]) -> None:
        """These have arrived, or can never arrive: the next delta begins here."""
        self._delivered.update((delta.key, delta.after) for delta in deltas)

    def keep_only(self, keys: Set[SeriesKey]) -> None:
        """Forgets series that are no longer there."""
        self._delivered = {key: baseline for key, baseline in self._delivered.items() if key in keys}


def series_key(instrument: Instrument, point: Point) -> SeriesKey:
    number = -1 if point.workload is None else point.workload.number
    return (instrument.name, number, frozenset(point.attributes.items()))


def _growth(now: float | HistogramValue, before: float | HistogramValue) -> float | HistogramValue | None:
    """None when the series began anew in between: then all of it is growth."""
    if isinstance(now, HistogramValue) and isinstance(before, HistogramValue):
        return since(now, before)
    if isinstance(now, HistogramValue) or isinstance(before, HistogramValue) or now < before:
        return None
    return now - before
