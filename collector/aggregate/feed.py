"""One metric of a manifest at work: takes batches of its record, adds them up in its series table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from collector.aggregate.batch_groups import BatchGroups
from collector.aggregate.condition import Test, compile_tests, label_value
from collector.aggregate.histogram import BucketLayout
from collector.aggregate.series import OVERFLOW, Labels, SeriesTable
from collector.batch import Batch, BatchKind, Column
from collector.catalog.manifest import Metric
from collector.instruments import AttributeValue, InstrumentKind
from collector.row_hash import hash_rows

UNKNOWN = -1
SCALE_BY_MEANING = {"duration_ns": 1e-9, "duration_us": 1e-6}


@dataclass(slots=True, eq=False)
class Part:
    """One column under the instrument; value '' counts rows. tests: which rows, once a batch has shown the record's schema.

    places: lasting number of a group -> where its series is in the table, or UNKNOWN; good for one `state` of both.
    """

    number: int
    value: str
    constant: Mapping[str, AttributeValue]
    tests: tuple[Test, ...] | None = None
    places: Column = field(default_factory=lambda: np.empty(0, np.intp))
    state: tuple[int, int] = (0, 0)

    def places_in(self, state: tuple[int, int], groups: int) -> Column:
        """`places`, with room for so many groups; nothing is known in another state."""
        if state != self.state or groups > len(self.places):
            self.places, self.state = np.full(2 * groups, UNKNOWN, np.intp), state
        return self.places


@dataclass(slots=True, eq=False)
class Chosen:
    """Rows that count for a part. rows: their indices in the batch, None for all. numbers: of their groups.

    unknown: which of them, by position, belong to a group without a place.
    """

    rows: Column | None
    numbers: Column
    unknown: Column

    def index(self, positions: Column) -> Column:
        return positions if self.rows is None else self.rows[positions]


@dataclass(slots=True, eq=False)
class Feed:
    """buckets: for a histogram how its values are laid out in the table, else None. fits: False once its rows did not."""

    metric: Metric
    table: SeriesTable
    buckets: BucketLayout | None = None
    fits: bool = True
    grouped_by: tuple[str, ...] = field(init=False)
    _names: frozenset[str] = field(init=False)
    _parts: list[Part] = field(init=False)
    _scales: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.grouped_by = (*self.metric.identity, *self.metric.attributes.values())
        self._names = frozenset(self.grouped_by)
        self._parts = [Part(number, part.value, part.constant) for number, part in enumerate(self.metric.parts())]

    def add(self, groups: BatchGroups, now: float) -> None:
        """One of aggregator.FAULTS when the batch lacks a column or it is of the wrong kind; now: unix seconds."""
        if self.metric.kind is InstrumentKind.GAUGE:
            if groups.batch.kind is not BatchKind.SNAPSHOT:
                return
            self.table.values[:] = 0
        for part in self._parts:
            rows = groups.select(self._tests_of(part, groups.batch))
            if len(groups if rows is None else rows):
                self._add_part(groups, part, rows, now)

    def _tests_of(self, part: Part, batch: Batch) -> tuple[Test, ...]:
        if part.tests is None:
            where = {**self.metric.where, **self.metric.parts()[part.number].where}
            part.tests = compile_tests(batch.schema, where, self.metric.known)
        return part.tests

    def _add_part(self, groups: BatchGroups, part: Part, rows: Column | None, now: float) -> None:
        amounts = self._amounts(groups, part, rows)
        if self._names <= groups.few_valued:
            numbers = groups.lasting_numbers(rows)
            known = part.places_in((groups.memory.generation, self.table.version), len(groups.memory))
        else:
            unique, numbers = np.unique(groups.keys_of(self.grouped_by, rows), return_inverse=True)
            known = np.full(len(unique), UNKNOWN, np.intp)
        places = known[numbers]
        unknown = places == UNKNOWN
        if self.metric.kind is InstrumentKind.COUNTER:
            unknown &= amounts != 0  # no series for what never happened
        if unknown.any():
            self.table.updated_at[places[places != UNKNOWN]] = now  # in use: none of these makes room for a new one
            over = self._find_places(groups, part, Chosen(rows, numbers, np.flatnonzero(unknown)), known, now)
            places = known[numbers]
            known[over] = UNKNOWN
        places = np.maximum(places, OVERFLOW)  # where still unknown, there is nothing to add
        self.table.updated_at[places] = now
        if self.buckets:
            self.buckets.add(self.table.values, places, amounts)
        else:
            np.add.at(self.table.values.ravel(), places, amounts)

    def _find_places(self, groups: BatchGroups, part: Part, chosen: Chosen, known: Column, now: float) -> Column:
        """Fills in the places of new groups; those for which there is no room: the next batch may find some."""
        unique, first = np.unique(chosen.numbers[chosen.unknown], return_index=True)
        rows = chosen.index(chosen.unknown[first])
        keys = hash_rows([groups.keys_of(self.grouped_by, rows)], seed=part.number)
        known[unique] = self.table.place(keys, self._describer(groups.batch, part, rows), now)
        over: Column = unique[known[unique] == OVERFLOW]
        if len(over):
            self.table.count_overflow(int(np.count_nonzero(np.isin(chosen.numbers[chosen.unknown], over))), now)
        return over

    def _amounts(self, groups: BatchGroups, part: Part, rows: Column | None) -> Column:
        """The part's numbers in the metric's unit, float64, one for each row that counts."""
        if not part.value:
            return np.ones(len(groups if rows is None else rows))
        values = groups.floats(part.value, rows)
        scale = self._scale(groups.batch, part.value)
        return values if scale == 1.0 else values * scale

    def _scale(self, batch: Batch, name: str) -> float:
        if name not in self._scales:
            plain = name.removesuffix("_increase")
            fields = {entry.name: entry.meaning for entry in batch.schema.fields}
            self._scales[name] = SCALE_BY_MEANING.get(fields.get(plain, ""), 1.0) if self.metric.unit == "s" else 1.0
        return self._scales[name]

    def _describer(self, batch: Batch, part: Part, rows: Column) -> Callable[[int], Labels]:
        def describe(position: int) -> Labels:
            row = rows[position]
            sides = {side: int(batch[side][row]) for side in self.metric.identity}
            attributes = {
                attribute: label_value(batch.schema, column, batch[column][row])
                for attribute, column in self.metric.attributes.items()
            }
            return Labels(sides.get("local", -1), sides.get("peer", -1), {**attributes, **part.constant})

        return describe
