"""What the metrics of one record ask of one batch, worked out once for all of them: groups, chosen rows, numbers."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

import numpy as np

from collector.aggregate.condition import Test, passing
from collector.aggregate.group_numbers import GroupNumbers
from collector.batch import Batch, Column
from collector.row_hash import hash_rows


@dataclass(slots=True, eq=False)
class BatchGroups:
    """few_valued: columns of whole numbers with few values that metrics group by (identities, enums).

    By all of them at once the rows are grouped; the series of every metric is found from the lasting number of the group.
    """

    batch: Batch
    few_valued: Set[str]
    memory: GroupNumbers
    _numbers: Column | None = None
    _masks: dict[Test, Column] = field(default_factory=dict)
    _chosen: dict[tuple[Test, ...], Column | None] = field(default_factory=dict)
    _floats: dict[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.batch)

    def select(self, tests: tuple[Test, ...]) -> Column | None:
        """Indices of the rows that pass all tests; None when that is every row."""
        if tests not in self._chosen:
            wanted: Column | None = None
            for test in tests:
                mask = self._mask(test)
                wanted = mask if wanted is None else wanted & mask
            self._chosen[tests] = None if wanted is None or wanted.all() else np.flatnonzero(wanted)
        return self._chosen[tests]

    def _mask(self, test: Test) -> Column:
        if test not in self._masks:
            self._masks[test] = passing(self.batch[test[0]], test[1])
        return self._masks[test]

    def lasting_numbers(self, rows: Column | None) -> Column:
        """Of the groups of these rows (indices, None for all)."""
        if self._numbers is None:
            self._numbers = self.memory.number(self._columns(sorted(self.few_valued)))
        return self._numbers if rows is None else self._numbers[rows]

    def keys_of(self, names: Iterable[str], rows: Column | None) -> Column:
        """uint64 for each of these rows, equal in every batch where the columns are."""
        return hash_rows([column if rows is None else column[rows] for column in self._columns(names)])

    def floats(self, name: str, rows: Column | None) -> Column:
        """float64, for each of these rows."""
        if name not in self._floats:
            self._floats[name] = self.batch[name].astype(np.float64)
        return self._floats[name] if rows is None else self._floats[name][rows]

    def _columns(self, names: Iterable[str]) -> list[Column]:
        """At least one: without a name all rows are equal."""
        return [self.batch[name] for name in names] or [np.zeros(len(self.batch), np.uint8)]
