"""One metric of a manifest at work: takes batches of its record, adds them up in its series table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from collector.aggregate.batch_groups import BatchGroups
from collector.aggregate.condition import Test, attribute_value, compile_tests
from collector.aggregate.exemplars import Candidate, ExemplarBoard
from collector.aggregate.histogram import BucketLayout
from collector.aggregate.series import OVERFLOW, Labels, SeriesTable
from collector.batch import Batch, BatchKind, Column
from collector.catalog.manifest import Metric
from collector.instruments import AttributeValue, InstrumentKind
from collector.row_hash import hash_rows

UNKNOWN = -1
SECONDS = ("s", "{second}")
SCALE_BY_MEANING = {"duration_ns": 1e-9, "duration_us": 1e-6}


@dataclass(slots=True, eq=False)
class Part:
    """One column under the instrument; value '' counts rows. tests: which rows, once a batch has shown the record's schema.

    places: lasting number of a group -> where its series is in the table, or UNKNOWN; good for one `state` of both.
    settled: so many groups were there when all of them had a place.
    """

    number: int
    value: str
    constant: Mapping[str, AttributeValue]
    tests: tuple[Test, ...] | None = None
    places: Column = field(default_factory=lambda: np.empty(0, np.intp))
    state: tuple[int, int] = (0, 0)
    settled: int = 0

    def make_ready(self, state: tuple[int, int], groups: int) -> None:
        """Makes room for so many groups; nothing is known in another state."""
        if state != self.state or groups > len(self.places):
            self.places, self.state, self.settled = np.full(2 * groups, UNKNOWN, np.intp), state, 0
        elif self.settled != groups and (self.places[:groups] != UNKNOWN).all():
            self.settled = groups


@dataclass(slots=True, eq=False)
class Unsettled:
    """Rows that count for a part, some of them of groups without a place.

    chosen: their indices in the batch, None for all. For each of them numbers (of its group), amounts and places; known:
    group -> place.
    """

    chosen: Column | None
    numbers: Column
    amounts: Column
    known: Column
    places: Column

    def index(self, positions: Column) -> Column:
        return positions if self.chosen is None else self.chosen[positions]


@dataclass(slots=True, eq=False)
class Feed:
    """buckets: for a histogram how its values are laid out in the table, else None. fits: False once its rows did not.

    words: columns of the record that are the same for all its rows. board: where rows are offered that become spans.
    """

    metric: Metric
    table: SeriesTable
    buckets: BucketLayout | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    board: ExemplarBoard | None = None
    fits: bool = True
    grouped_by: tuple[str, ...] = field(init=False)
    _names: frozenset[str] = field(init=False)
    _parts: list[Part] = field(init=False)
    _scales: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        varying = (column for column in self.metric.attributes.values() if column not in self.words)
        self.grouped_by = (*self.metric.identity, *varying)
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
            numbers, count = groups.lasting_numbers(rows), len(groups.memory)
            part.make_ready((groups.memory.generation, self.table.version), count)
            known, settled = part.places, part.settled == count
        else:
            unique, numbers = np.unique(groups.keys_of(self.grouped_by, rows), return_inverse=True)
            known, settled = np.full(len(unique), UNKNOWN, np.intp), False
        places = known[numbers]
        if not settled:
            places = self._settle(groups, part, Unsettled(rows, numbers, amounts, known, places), now)
        self.table.updated_at[places] = now
        if self.buckets:
            weights = groups.floats(self.metric.weight, rows) if self.metric.weight else 1.0
            self.buckets.add(self.table.values, places, amounts, weights)
            self._offer(groups.batch, rows, places, amounts, now)
        else:
            np.add.at(self.table.values.ravel(), places, amounts)

    def _offer(self, batch: Batch, rows: Column | None, places: Column, amounts: Column, now: float) -> None:
        """The few rows that become spans may be exemplars of durations."""
        if self.board is None or self.buckets is None or self.metric.unit not in SECONDS or "span_id" not in batch.columns:
            return
        sampled = batch["sampled"] if rows is None else batch["sampled"][rows]
        for position in np.flatnonzero(sampled).tolist():
            place, value = int(places[position]), float(amounts[position])
            span_id = batch.columns["span_id"][position if rows is None else rows[position]]
            candidate = Candidate(self.table, place, self.table.labels[place], self.buckets.bucket(value), value, now)
            self.board.offer(span_id, candidate)

    def _settle(self, groups: BatchGroups, part: Part, rows: Unsettled, now: float) -> Column:
        """The places of all rows: series are opened for those that have none and something to add."""
        unknown = rows.places == UNKNOWN
        if self.metric.kind is InstrumentKind.COUNTER:
            unknown &= rows.amounts != 0  # no series for what never happened
        if unknown.any():
            self.table.updated_at[rows.places[rows.places != UNKNOWN]] = now  # in use: none of these makes room for a new one
            over = self._find_places(groups, part, rows, np.flatnonzero(unknown), now)
            rows.places = rows.known[rows.numbers]
            rows.known[over] = UNKNOWN
        return np.maximum(rows.places, OVERFLOW)  # where still unknown, nothing is added

    def _find_places(self, groups: BatchGroups, part: Part, rows: Unsettled, unknown: Column, now: float) -> Column:
        """Fills in the places of new groups; those for which there is no room: the next batch may find some."""
        unique, first = np.unique(rows.numbers[unknown], return_index=True)
        examples = rows.index(unknown[first])
        keys = hash_rows([groups.keys_of(self.grouped_by, examples)], seed=part.number)
        rows.known[unique] = self.table.place(keys, self._describer(groups.batch, part, examples), now)
        over: Column = unique[rows.known[unique] == OVERFLOW]
        if len(over):
            self.table.count_overflow(int(np.count_nonzero(np.isin(rows.numbers[unknown], over))), now)
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
            self._scales[name] = SCALE_BY_MEANING.get(fields.get(plain, ""), 1.0) if self.metric.unit in SECONDS else 1.0
        return self._scales[name]

    def _describer(self, batch: Batch, part: Part, rows: Column) -> Callable[[int], Labels]:
        def describe(position: int) -> Labels:
            row = rows[position]
            sides = {side: int(batch[side][row]) for side in self.metric.identity}
            attributes = {
                attribute: self.words.get(column) or attribute_value(attribute, batch, column, row)
                for attribute, column in self.metric.attributes.items()
            }
            known = {attribute: value for attribute, value in attributes.items() if value != ""}
            return Labels(sides.get("local", -1), sides.get("peer", -1), {**known, **part.constant})

        return describe
