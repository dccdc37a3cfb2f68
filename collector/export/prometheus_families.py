"""A snapshot as Prometheus families: one name, one kind, one set of labels each, and no series twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from collector.export.attribute_text import label_text
from collector.export.histogram_merge import add_values
from collector.export.label_choice import ALL_LABELS, LabelChoice, chosen_attributes
from collector.export.prometheus_names import family_name, label_name, sample_names, unit_words
from collector.export.retired_series import Key
from collector.instruments import (
    AttributeValue,
    HistogramValue,
    Instrument,
    InstrumentKind,
    InstrumentSnapshot,
    Point,
    Snapshot,
)

Labels = dict[str, str]
OfWorkload = dict[tuple[int, tuple[str, ...] | None], Labels]
Retired = Mapping[str, Sequence[tuple[Key, Point]]]
NOTHING_RETIRED: Retired = {}


@dataclass(slots=True)
class Row:
    value: float | HistogramValue
    started_at: float


@dataclass(slots=True)
class Family:
    """rows: label values, in the order of label_names, -> the value. A label that a series has not is ''."""

    name: str
    instrument: Instrument
    label_names: tuple[str, ...] = ()
    rows: dict[tuple[str, ...], Row] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The unit for # UNIT; '' unless the name ends in it, as OpenMetrics demands."""
        unit = "_".join(unit_words(self.instrument.unit))
        return unit if unit and self.name.endswith(f"_{unit}") else ""

    @property
    def type(self) -> str:
        kind = self.instrument.kind
        return "gauge" if kind is InstrumentKind.UPDOWNCOUNTER else kind.value

    def add(self, labels: Labels, point: Point) -> None:
        """Two series that became equal, because their names arrived late, are one: their sum."""
        key = tuple([labels.get(name, "") for name in self.label_names])
        row = self.rows.get(key)
        if row is None:
            self.rows[key] = Row(point.value, point.started_at)
        else:
            row.value = add_values(row.value, point.value)
            row.started_at = min(row.started_at, point.started_at)


def attribute_labels(attributes: Mapping[str, AttributeValue]) -> Labels:
    """Attributes that become the same label have their values joined by ';', as the compatibility specification says."""
    labels: Labels = {}
    for attribute in attributes:
        name, text = label_name(attribute), label_text(attributes[attribute])
        labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels


@dataclass(slots=True)
class Families:
    """Made from one snapshot. ended: keys of retired series with whose labels nothing goes on, once all families were read."""

    choice: LabelChoice = ALL_LABELS
    retired: Retired = field(default_factory=lambda: NOTHING_RETIRED)
    ended: list[Key] = field(default_factory=list)
    _of_workload: OfWorkload = field(default_factory=dict)

    def read(self, snapshot: Snapshot) -> Iterator[Family]:
        """The families that have series, in the order of the snapshot; each is filled when it is asked for and then forgotten."""
        taken: set[str] = set()
        found: dict[str, Family] = {}
        parts: dict[str, list[InstrumentSnapshot]] = {}
        for one in snapshot.instruments:
            if one.points:
                family = _family_for(one.instrument, found, taken)
                parts.setdefault(family.name, []).append(one)
            else:
                self.ended += [key for key, _ in self.retired.get(one.instrument.name, ())]
        for name, instruments in parts.items():
            family = found.pop(name)
            for one in instruments:
                self._fill(family, one)
            yield family

    def _fill(self, family: Family, one: InstrumentSnapshot) -> None:
        labelled = [(self._labels(one.instrument, point), point) for point in one.points]
        names = _union((labels for labels, _ in labelled), family.label_names)
        if family.rows and names != family.label_names:
            _widen(family, names)
        family.label_names = names
        for labels, point in labelled:
            family.add(labels, point)
        for key, point in self.retired.get(one.instrument.name, ()):
            labels = self._labels(one.instrument, point)
            if set(labels) <= set(names) and tuple([labels.get(name, "") for name in names]) in family.rows:
                family.add(labels, point)
            else:
                self.ended.append(key)

    def _labels(self, instrument: Instrument, point: Point) -> Labels:
        labels = attribute_labels(point.attributes)
        if point.workload is None:
            return labels
        names = self.choice.names_for(instrument.name)
        key = (id(point.workload), None if names is None else tuple(names))
        own = self._of_workload.get(key)
        if own is None:
            own = self._of_workload[key] = attribute_labels(chosen_attributes(point.workload, names))
        return {**own, **labels}


def families(snapshot: Snapshot, choice: LabelChoice = ALL_LABELS) -> list[Family]:
    """The families that have series, in the order of the snapshot."""
    return list(Families(choice).read(snapshot))


def _family_for(instrument: Instrument, found: dict[str, Family], taken: set[str]) -> Family:
    """Instruments whose names differ only by their dots share a family; where they cannot, the later one is named anew."""
    for name in _candidate_names(instrument):
        family = found.get(name)
        if family and (family.instrument.kind, family.instrument.buckets) == (instrument.kind, instrument.buckets):
            return family
        names = {name, *sample_names(name, instrument.kind)}
        if not names & taken:
            taken |= names
            return found.setdefault(name, Family(name, instrument))
    raise AssertionError("the candidates never end")


def _candidate_names(instrument: Instrument) -> Iterator[str]:
    name = family_name(instrument)
    yield name
    yield f"{name}_{instrument.kind.value}"
    yield from (f"{name}_{instrument.kind.value}_{number}" for number in itertools.count(2))


def _union(all_labels: Iterable[Labels], known: tuple[str, ...]) -> tuple[str, ...]:
    names: dict[str, None] = dict.fromkeys(known)
    for labels in all_labels:
        names.update(dict.fromkeys(labels))
    return tuple(sorted(names))


def _widen(family: Family, names: tuple[str, ...]) -> None:
    """Rows that were filled with fewer labels get the new ones, empty."""
    old = family.rows
    family.rows = {}
    for key, row in old.items():
        labels = dict(zip(family.label_names, key, strict=True))
        family.rows[tuple([labels.get(name, "") for name in names])] = row
