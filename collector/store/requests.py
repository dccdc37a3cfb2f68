"""Requests: a bounded history of them, as numbers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from collector.batch import Batch, Rows, Schema
from collector.row_blocks import copy_fields
from collector.store.columns import address_halves, wall_times
from collector.store.follow import Followers
from collector.store.history import History
from collector.store.word_table import PassingWords, WordTable, WordTranslation

HISTORY_CAPACITY = 20_000
ENUM_WORDS_MAX, WORDS_MAX = 256, 65_536

# `local` is who asked (role client) or was asked (role server), `peer` the other. Times in unix ns, lengths in ns.
REQUEST = np.dtype(
    [
        ("sequence", "u8"),  # order of arrival in the store, unique
        ("time", "i8"),  # first byte of the request
        ("ended_at", "i8"),  # last byte of the answer; the same as `time` when there was none
        ("duration", "u8"),  # 0: no answer
        ("first_byte", "u8"),  # to the first byte of the answer
        ("request_bytes", "u8"),
        ("response_bytes", "u8"),
        ("request_body_bytes", "i8"),  # -1: not known
        ("response_body_bytes", "i8"),
        ("flow", "u8"),
        ("local_address", "u8", (2,)),
        ("remote_address", "u8", (2,)),
        ("command", "S16"),
        ("netns", "u4"),
        ("process", "u4"),
        ("thread", "u4"),
        ("operation", "u4"),
        ("resource", "u4"),
        ("route", "u4"),
        ("status", "u4"),
        ("error_type", "u4"),
        ("local", "i4"),
        ("peer", "i4"),
        ("local_port", "u2"),
        ("remote_port", "u2"),
        ("server_port", "u2"),
        ("protocol", "u1"),
        ("role", "u1"),
        ("outcome", "u1"),
        ("transport", "u1"),
        ("sampled", "?"),
    ]
)
ENUMS: Mapping[str, tuple[str, ...]] = {
    "protocol": ("unknown", "http", "grpc", "postgresql", "mysql", "redis", "dns", "websocket"),
    "role": ("unknown", "client", "server"),
    "outcome": ("ok", "error", "unanswered", "unknown"),
    "transport": ("tcp", "unix"),
}
WORDS = ("operation", "resource", "route", "status", "error_type")
MADE_HERE = {"sequence", "time", "ended_at", "local_address", "remote_address", *ENUMS, *WORDS}
PLAIN = tuple(name for name in REQUEST.names or () if name not in MADE_HERE)
FAILED_OUTCOMES = ("error", "unanswered")
Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class RequestView:
    """What the store held at one moment; read it without any lock. words: coded column -> word by code.

    probes: those that requests came from.
    """

    history: tuple[Rows, ...]
    words: Words
    next_sequence: int
    epoch: int
    overwritten: int
    probes: tuple[str, ...]

    @property
    def complete_from(self) -> int:
        """Unix ns: requests that ended before this were overwritten; 0 while none was."""
        return int(self.history[0]["ended_at"][0]) if self.overwritten else 0


@dataclass(frozen=True, slots=True)
class RequestStoreCounts:
    """overwritten, words_overflowed, lost_by_followers: since the start. words_overflowed: words known as _OTHER."""

    rows: int
    capacity: int
    overwritten: int
    words_overflowed: int
    followers: int
    lost_by_followers: int


class RequestStore:
    """Not thread-safe: `add`, `view` and `counts` are called under the pipeline's lock; none of them takes long."""

    def __init__(self, capacity: int = HISTORY_CAPACITY, followers: Followers | None = None) -> None:
        self.followers = Followers() if followers is None else followers
        self._history = History(REQUEST, capacity)
        self._tables: dict[str, WordTable | PassingWords] = {
            **{name: WordTable(ENUM_WORDS_MAX, known) for name, known in ENUMS.items()},
            **{name: WordTable(WORDS_MAX) for name in WORDS},
            "resource": PassingWords(3 * capacity),
        }
        self._plans: dict[str, tuple[Schema, dict[str, WordTranslation]]] = {}
        self._next_sequence = 1
        self._epoch = secrets.randbits(32)

    def add(self, batch: Batch, wall_offset_ns: int) -> None:
        """Takes a batch of `request`; wall_offset_ns: unix time minus boot time, now."""
        most = self._history.capacity
        if len(batch) <= most:
            self._add(batch, wall_offset_ns)
            return
        for start in range(0, len(batch), most):
            self._add(batch.select(np.arange(start, min(start + most, len(batch)))), wall_offset_ns)

    def _add(self, batch: Batch, wall_offset_ns: int) -> None:
        rows = self._read(batch, wall_offset_ns)
        rows["sequence"] = np.arange(self._next_sequence, self._next_sequence + len(rows), dtype=np.uint64)
        self._next_sequence += len(rows)
        self._history.append(rows)
        self.followers.publish(rows)

    def view(self) -> RequestView:
        """All rows as they are now, in constant time."""
        words = {column: table.words for column, table in self._tables.items()}
        history, probes = self._history, tuple(self._plans)
        return RequestView(history.view(), words, self._next_sequence, self._epoch, history.overwritten, probes)

    def counts(self) -> RequestStoreCounts:
        """How full the store is and what it had to leave out."""
        return RequestStoreCounts(
            rows=len(self._history),
            capacity=self._history.capacity,
            overwritten=self._history.overwritten,
            words_overflowed=sum(table.overflowed for table in self._tables.values()),
            followers=len(self.followers),
            lost_by_followers=self.followers.lost,
        )

    def _read(self, batch: Batch, wall_offset_ns: int) -> Rows:
        """REQUEST rows, shape (len(batch),), sequence still 0; columns that the batch has not are 0."""
        rows = np.zeros(len(batch), REQUEST)
        alike = fields_alike(batch.schema.dtype, frozenset(batch.columns))
        copy_fields(batch.rows, rows, alike)
        for name in PLAIN:
            if name in batch and name not in alike:
                rows[name] = batch[name]
        for name, translation in self._translations(batch.schema).items():
            if name in batch:
                rows[name] = translation.translate(batch[name])
        for name in ("local_address", "remote_address"):
            rows[name] = address_halves(batch[name])
        rows["time"] = wall_times(batch, "observed_at", wall_offset_ns)
        rows["ended_at"] = rows["time"] + batch["duration"].astype(np.int64)
        return rows

    def _translations(self, schema: Schema) -> dict[str, WordTranslation]:
        known = self._plans.get(schema.probe)
        if known is None or known[0] is not schema:
            names = {field.name: field.names for field in schema.fields}
            made = {name: WordTranslation(names[name], table) for name, table in self._tables.items() if name in names}
            known = self._plans[schema.probe] = schema, made
        return known[1]


@lru_cache(maxsize=64)
def fields_alike(dtype: np.dtype[np.void], added: Set[str]) -> tuple[str, ...]:
    """Those of PLAIN that have the same form in rows of `dtype`, unless an added column stands for them."""
    there = dtype.names or ()
    return tuple(name for name in PLAIN if name in there and name not in added and dtype[name] == REQUEST[name])
