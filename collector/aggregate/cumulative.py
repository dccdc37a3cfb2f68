"""From what a counter stands at to what it grew by: joins each snapshot with the one before. Pure.

Rows are identified by a key that is never used twice. A row that misses two snapshots in a row is forgotten (a hash
map's iterator may skip an element once while others are deleted); an event is the last word about its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from collector.batch import Batch, BatchKind, Column
from collector.row_hash import hash_rows


@dataclass(frozen=True, slots=True)
class CumulativeFields:
    """key: fields that identify a row. counters: fields that only grow. once: fields that become non-zero one time.

    born: a field that is zero for what is older than the agent; the first value of such a row is where counting starts.
    restarts: a key may be used again, with counters that start at zero (an idle entry of a map was removed and came back).
    """

    key: tuple[str, ...]
    counters: tuple[str, ...]
    once: tuple[str, ...] = ()
    born: str = ""
    restarts: bool = False


@dataclass(slots=True)
class _Known:
    """What was last seen, sorted by key."""

    keys: Column
    values: dict[str, Column]
    missed: Column

    @classmethod
    def nothing(cls, names: tuple[str, ...]) -> _Known:
        return cls(np.empty(0, np.uint64), {name: np.empty(0, np.uint64) for name in names}, np.empty(0, np.uint8))


@dataclass(slots=True)
class CumulativeJoin:
    """State of one record type. vanished: rows that went without an event. disordered: values that shrank.

    A counter that shrinks was read while the kernel wrote it; what counts is the largest value until then.
    """

    fields: CumulativeFields
    vanished: int = 0
    disordered: int = 0
    _known: _Known = field(init=False)

    def __post_init__(self) -> None:
        self._known = _Known.nothing(self.fields.counters + self.fields.once)

    def join(self, batch: Batch) -> Batch:
        """The batch without repeated rows, with columns `<counter>_increase` (uint64), `<once>_new` and `first_seen` (bool)."""
        keys = self._keys_of(batch)
        if has_duplicates(keys):
            first = np.sort(np.unique(keys, return_index=True)[1])  # rows stay in their order
            keys, batch = keys[first], batch.select(first)
        else:
            batch = Batch(batch.schema, batch.kind, batch.rows, dict(batch.columns))
        place, found = self._find(keys)
        latest: dict[str, Column] = {}
        uncounted = np.flatnonzero(~found & (batch[self.fields.born] == 0)) if self.fields.born else ()
        for name in self.fields.counters:
            increase, latest[name] = self._count(batch[name], self._before(name, place, found), found)
            if len(uncounted):
                increase[uncounted] = 0
            batch.columns[f"{name}_increase"] = increase
        for name in self.fields.once:
            before, latest[name] = self._before(name, place, found), batch[name]
            batch.columns[f"{name}_new"] = (latest[name] != 0) if before is None else (latest[name] != 0) & (before == 0)
        batch.columns["first_seen"] = ~found
        lacking = np.ones(len(self._known.keys), bool)
        lacking[place[found]] = False
        if batch.kind is BatchKind.SNAPSHOT:
            self._remember(keys, {name: column.astype(np.uint64) for name, column in latest.items()}, lacking)
        else:
            self._keep(lacking)
        return batch

    def _keys_of(self, batch: Batch) -> Column:
        """uint64, one for each row; a single number is its own key."""
        columns = [batch[name] for name in self.fields.key]
        if len(columns) == 1 and columns[0].dtype.kind in "iu":
            return columns[0].astype(np.uint64)
        return hash_rows(columns)

    def _find(self, keys: Column) -> tuple[Column, Column]:
        """(place in the known keys, whether it is there)."""
        known = self._known.keys
        if len(known) == 0:
            return np.zeros(len(keys), np.intp), np.zeros(len(keys), bool)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return place, known[place] == keys

    def _before(self, name: str, place: Column, found: Column) -> Column | None:
        """uint64, zero for rows that were not known; None when none was."""
        known = self._known.values[name]
        return known[place] * found if found.any() else None

    def _count(self, now: Column, before: Column | None, found: Column) -> tuple[Column, Column]:
        """(increase as uint64, value to compare with next time).

        The difference is taken in the counter's own width, so that a counter that wraps is right.
        """
        if before is None:
            return now.astype(np.uint64), now
        grown = (now - before.astype(now.dtype)).astype(np.uint64)
        half = np.uint64(np.iinfo(now.dtype).max // 2)
        if grown.max() <= half:
            return grown, now
        shrank = found & (grown > half)
        if self.fields.restarts:
            grown[shrank] = now[shrank]
            return grown, now
        self.disordered += int(np.count_nonzero(shrank))
        grown[shrank] = 0
        return grown, np.where(shrank, before, now)

    def _remember(self, keys: Column, latest: dict[str, Column], lacking: Column) -> None:
        """The snapshot, and for one more round what it lacks."""
        known = self._known
        kept = lacking & (known.missed == 0)
        self.vanished += int(np.count_nonzero(lacking)) - int(np.count_nonzero(kept))
        merged = np.concatenate([keys, known.keys[kept]])
        order = np.argsort(merged, kind="stable")
        missed = np.concatenate([np.zeros(len(keys), np.uint8), np.ones(int(np.count_nonzero(kept)), np.uint8)])
        values = {name: np.concatenate([latest[name], old[kept]])[order] for name, old in known.values.items()}
        self._known = _Known(merged[order], values, missed[order])

    def _keep(self, kept: Column) -> None:
        known = self._known
        if not kept.all():
            self._known = _Known(known.keys[kept], {k: v[kept] for k, v in known.values.items()}, known.missed[kept])


def has_duplicates(keys: Column) -> bool:
    ordered = np.sort(keys)
    return bool((ordered[1:] == ordered[:-1]).any())
