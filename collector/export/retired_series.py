"""The last numbers of series that were taken out while others with the same labels go on.

A container that starts again is another container with its own series, but its labels on /metrics may be the same. Were the old
numbers to go, the sum would go down, and rate() would take that for a restart of everything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from collector.export.histogram_merge import add_values
from collector.instruments import AttributeValue, Instrument, InstrumentKind, Point
from collector.workload import Workload

Names = tuple[tuple[str, str], ...]
Key = tuple[str, Names, tuple[tuple[str, AttributeValue], ...]]


@dataclass(slots=True)
class RetiredSeries:
    """Bounded: the one that changed longest ago gives way, and is counted. Not thread-safe: used under the pipeline's lock."""

    maximum: int = 20_000
    forgotten: int = 0
    _points: OrderedDict[Key, tuple[Instrument, Point]] = field(default_factory=OrderedDict)

    def take(self, removed: Iterable[tuple[Instrument, Point]]) -> None:
        """These were taken out; gauges leave nothing behind."""
        names: dict[int, Names] = {}  # of a workload: its series share them
        for instrument, point in removed:
            if instrument.kind is InstrumentKind.GAUGE or point.workload is None:
                continue
            owner = point.workload
            if owner.number not in names:
                names[owner.number] = names_of(owner)
            key = instrument.name, names[owner.number], tuple(sorted(point.attributes.items()))
            known = self._points.pop(key, None)
            self._points[key] = instrument, point if known is None else sum_of(known[1], point)
        while len(self._points) > self.maximum:
            self._points.popitem(last=False)
            self.forgotten += 1

    def points(self) -> dict[str, list[tuple[Key, Point]]]:
        """By instrument."""
        found: dict[str, list[tuple[Key, Point]]] = {}
        for key, (instrument, point) in self._points.items():
            found.setdefault(instrument.name, []).append((key, point))
        return found

    def forget_all(self) -> None:
        self.forgotten += len(self._points)
        self._points.clear()

    def drop(self, keys: Iterable[Key]) -> None:
        """Nothing goes on with these labels."""
        for key in keys:
            self._points.pop(key, None)


def names_of(owner: Workload) -> Names:
    """Without what tells one start of a container from the next."""
    return tuple({**owner.attributes(), "container.id": ""}.items())


def sum_of(earlier: Point, later: Point) -> Point:
    value = add_values(earlier.value, later.value)
    return Point(later.workload, later.attributes, value, min(earlier.started_at, later.started_at))
