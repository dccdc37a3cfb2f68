"""One metric of a manifest at work: takes batches of its record, adds them up in its series table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from collector.aggregate.condition import label_value, select_rows
from collector.aggregate.histogram import BucketLayout
from collector.aggregate.series import Labels, SeriesTable
from collector.batch import Batch, BatchKind, Column
from collector.catalog.manifest import Metric, Series
from collector.instruments import InstrumentKind
from collector.row_hash import hash_rows

SCALE_BY_MEANING = {"duration_ns": 1e-9, "duration_us": 1e-6}


@dataclass(slots=True, eq=False)
class Feed:
    """buckets: for a histogram how its values are laid out in the table, else None. fits: False once its rows did not."""

    metric: Metric
    table: SeriesTable
    buckets: BucketLayout | None = None
    fits: bool = True
    _scales: dict[str, float] = field(default_factory=dict)

    def add(self, batch: Batch, now: float) -> None:
        """KeyError or ValueError when the batch lacks a column; now: unix seconds."""
        if self.metric.kind is InstrumentKind.GAUGE:
            if batch.kind is not BatchKind.SNAPSHOT:
                return
            self.table.values[:] = 0
        for number, part in enumerate(self.metric.parts()):
            wanted = select_rows(batch, {**self.metric.where, **part.where}, self.metric.known)
            if wanted.any():
                self._add_part(batch.select(wanted), number, part, now)

    def _add_part(self, batch: Batch, number: int, part: Series, now: float) -> None:
        columns = [batch[name] for name in (*self.metric.identity, *self.metric.attributes.values())]
        columns.append(np.full(len(batch), number, np.uint64))
        keys, first, group, rows = np.unique(hash_rows(columns), return_index=True, return_inverse=True, return_counts=True)
        amounts = self._amounts(batch, part, group, len(keys))
        if self.metric.kind is InstrumentKind.COUNTER:
            moved = amounts[:, 0] != 0  # no series for what never happened
            keys, first, rows, amounts = keys[moved], first[moved], rows[moved], amounts[moved]
        self.table.add(keys, amounts, self._describer(batch, part, first), rows, now)

    def _amounts(self, batch: Batch, part: Series, group: Column, groups: int) -> Column:
        """What to add to each group's series: shape (groups, table width)."""
        if not part.value:
            return np.bincount(group, minlength=groups).astype(np.float64)[:, None]
        values = batch[part.value].astype(np.float64) * self._scale(batch, part.value)
        if self.buckets:
            return self.buckets.amounts(values, group, groups)
        return np.bincount(group, weights=values, minlength=groups)[:, None]

    def _scale(self, batch: Batch, name: str) -> float:
        if name not in self._scales:
            plain = name.removesuffix("_increase")
            fields = {entry.name: entry.meaning for entry in batch.schema.fields}
            self._scales[name] = SCALE_BY_MEANING.get(fields.get(plain, ""), 1.0) if self.metric.unit == "s" else 1.0
        return self._scales[name]

    def _describer(self, batch: Batch, part: Series, first: Column) -> Callable[[int], Labels]:
        def describe(position: int) -> Labels:
            row = first[position]
            sides = {side: int(batch[side][row]) for side in self.metric.identity}
            attributes = {
                attribute: label_value(batch.schema, column, batch[column][row])
                for attribute, column in self.metric.attributes.items()
            }
            return Labels(sides.get("local", -1), sides.get("peer", -1), {**attributes, **part.constant})

        return describe
