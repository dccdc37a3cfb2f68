"""What passes between rooms: batches of rows as NumPy structured arrays, with the schema that says what each field means."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Rows = np.ndarray[Any, np.dtype[np.void]]
Column = np.ndarray[Any, np.dtype[Any]]


class BatchKind(enum.Enum):
    """What the rows are.

    EVENTS: each row happened once.
    SNAPSHOT: all that exists now, cumulative counters; a row missing from two snapshots in a row is gone.
    """

    EVENTS = "events"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record.

    meaning: the C typedef (probes/include/field_types.h), or the enum's name, or '' for a plain number.
    names: number -> name for an enum, without the common prefix and in lower case; empty otherwise.
    """

    name: str
    meaning: str = ""
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schema:
    """The layout of one record type of one probe, read from BTF (or from a recording)."""

    probe: str
    record: str
    dtype: np.dtype[np.void]
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """The field called `name`; KeyError when there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    def first_with_meaning(self, meaning: str) -> str | None:
        """Name of the first field whose typedef is `meaning`."""
        return next((f.name for f in self.fields if f.meaning == meaning), None)


class RowGroups(NamedTuple):
    """first: index of the first row of each group, groups in no order; inverse: for each row the number of its group (n,)."""

    first: Column
    inverse: Column


@dataclass(slots=True)
class Batch:
    """Rows of one record type.

    rows: structured array, shape (n,), owned by the batch (a copy, the ring may be reused).
    columns: what enrichers added, each of shape (n,).
    owners: rows that agree in whose they are and whom they are with, where the decoder knows; the first stands for all.
    """

    schema: Schema
    kind: BatchKind
    rows: Rows
    columns: dict[str, Column] = field(default_factory=dict)
    owners: RowGroups | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.columns or name in (self.schema.dtype.names or ())

    def __getitem__(self, name: str) -> Column:
        """The column called `name`, added or original; KeyError (ValueError from NumPy) when there is none."""
        added = self.columns.get(name)
        return self.rows[name] if added is None else added

    def select(self, which: Column) -> Batch:
        """The rows where the boolean mask or index array `which` says so, with their added columns, without owners."""
        return Batch(self.schema, self.kind, self.rows[which], {k: v[which] for k, v in self.columns.items()})
