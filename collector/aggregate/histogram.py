"""Histograms as columns: explicit buckets always, base-2 exponential ones beside them when OTLP asks for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from collector.batch import Column
from collector.instruments import Exemplar, ExponentialBuckets, HistogramValue

# OpenTelemetry metrics data model: base = 2**(2**-scale). Scale 2 gives 9 % error at most; 160 buckets reach from
# 2**-20 (1 microsecond) to 2**20 of the unit; what lies outside is counted in the outermost.
SCALE = 2
EXPONENTIAL_BUCKETS = 160
FIRST_INDEX = -80
MANTISSA_BOUNDS = 2.0 ** (np.arange(2**SCALE) / 2**SCALE - 1)


@dataclass(frozen=True, slots=True)
class BucketLayout:
    """Columns of a series: [sum, one count per explicit bucket and one for +Inf, zero count, exponential counts...]."""

    bounds: tuple[float, ...]
    exponential: bool = False

    @property
    def width(self) -> int:
        return 1 + self._explicit + (1 + EXPONENTIAL_BUCKETS if self.exponential else 0)

    @property
    def _explicit(self) -> int:
        return len(self.bounds) + 1

    def add(self, table: Column, places: Column, values: Column, weights: Column | float = 1.0) -> None:
        """Adds values (n,) to the rows `places` (n,) of a table (series, width); weights (n,): how often each occurred."""
        flat, start = table.ravel(), places * self.width
        np.add.at(flat, start, values * weights)
        np.add.at(flat, start + 1 + np.searchsorted(np.asarray(self.bounds), values, side="left"), weights)
        if self.exponential:
            np.add.at(flat, start + 1 + self._explicit + exponential_place(values), weights)

    def bucket(self, value: float) -> int:
        """The explicit bucket that holds it; a bound belongs to the bucket below."""
        return bisect_left(self.bounds, value)

    def value(self, columns: Column, exemplars: Mapping[int, Exemplar] | None = None) -> HistogramValue:
        """Shape (width,) -> the value as exporters want it."""
        counts = [int(count) for count in columns[1 : 1 + self._explicit]]
        exponential = None
        if self.exponential:
            rest = columns[1 + self._explicit :]
            exponential = ExponentialBuckets(SCALE, int(rest[0]), FIRST_INDEX, [int(count) for count in rest[1:]])
        return HistogramValue(counts, float(columns[0]), sum(counts), exponential, dict(exemplars or {}))


def exponential_place(values: Column) -> Column:
    """0 for values that are not positive, else 1 + bucket number; bucket i holds (base**i, base**(i+1)].

    By mantissa and exponent: a logarithm, rounded, would put values on a boundary into the bucket above.
    """
    positive = values > 0
    mantissa, exponent = np.frexp(np.where(positive, values, 1.0))  # 0.5 <= mantissa < 1
    index = ((exponent.astype(np.int64) - 1) << SCALE) - 1 + np.searchsorted(MANTISSA_BOUNDS, mantissa, side="left")
    return np.where(positive, 1 + np.clip(index - FIRST_INDEX, 0, EXPONENTIAL_BUCKETS - 1), 0)
