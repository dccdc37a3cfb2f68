"""All flows of the node: the open ones, and a bounded history of those that ended."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from collector.batch import Batch, BatchKind, Column, Rows
from collector.store.flow_rows import FLOW, FlowReader
from collector.store.follow import Followers
from collector.store.history import History
from collector.store.live_flows import LiveFlows
from collector.store.tombstones import Tombstones

HISTORY_CAPACITY = 50_000
LIVE_CAPACITY = 65_536
TOMBSTONES = 65_536
ENDED = ("closed", "failed", "listen_ended")


@dataclass(frozen=True, slots=True)
class FlowView:
    """What the store held at one moment. Its arrays never change; read it without any lock.

    names: column -> name by code. epoch: tells one store from the next, so that cursors do not outlive theirs.
    """

    history: tuple[Rows, ...]
    live: tuple[tuple[Rows, Column], ...]
    names: Mapping[str, tuple[str, ...]]
    next_sequence: int
    epoch: int
    overwritten: int

    def parts(self) -> Iterator[Rows]:
        """FLOW arrays that together are all rows, history first."""
        yield from self.history
        for rows, alive in self.live:
            yield rows if alive.all() else rows[alive]

    @property
    def complete_from(self) -> int:
        """Unix ns: flows that ended before this were overwritten; 0 while none was."""
        if not self.overwritten:
            return 0
        return int(self.history[0]["ended_at"][0])


@dataclass(frozen=True, slots=True)
class FlowStoreCounts:
    """live: open now, by protocol. overwritten, over_capacity, late, lost_by_followers: rows since the start."""

    live: Mapping[str, int]
    history: int
    history_capacity: int
    overwritten: int
    over_capacity: int
    late: int
    followers: int
    lost_by_followers: int


class _Protocol:
    """What is kept for each protocol."""

    def __init__(self, live_capacity: int) -> None:
        self.live = LiveFlows(live_capacity)
        self.ended = Tombstones(TOMBSTONES)


class FlowStore:
    """Not thread-safe: `add`, `view` and `counts` are called under the pipeline's lock; none of them takes long."""

    def __init__(
        self, capacity: int = HISTORY_CAPACITY, live_capacity: int = LIVE_CAPACITY, followers: Followers | None = None
    ) -> None:
        self.followers = Followers() if followers is None else followers
        self._reader = FlowReader()
        self._history = History(FLOW, capacity)
        self._live_capacity = live_capacity
        self._protocols: dict[str, _Protocol] = {}
        self._next_sequence = 1
        self._epoch = secrets.randbits(32)
        self._late = 0

    def add(self, batch: Batch, wall_offset_ns: int, protocol: str) -> None:
        """Takes one batch of flow records of `protocol`; wall_offset_ns: unix time minus boot time, now."""
        known = self._protocols.get(protocol)
        if known is None:
            known = self._protocols[protocol] = _Protocol(self._live_capacity)
        rows = self._reader.read(batch, wall_offset_ns, protocol)
        if batch.kind is BatchKind.SNAPSHOT:
            self._take_snapshot(known, rows, "unknown" if _tells_its_end(batch) else "idle")
            return
        ended = np.isin(rows["event"], self._reader.tables["event"].codes(ENDED))
        self._end(known, rows[ended])
        if not ended.all():
            self._update(known, rows[~ended])

    def view(self) -> FlowView:
        """All rows as they are now, in constant time: nothing is copied."""
        return FlowView(
            history=self._history.view(),
            live=tuple(known.live.view() for known in self._protocols.values()),
            names={column: table.names for column, table in self._reader.tables.items()},
            next_sequence=self._next_sequence,
            epoch=self._epoch,
            overwritten=self._history.overwritten,
        )

    def counts(self) -> FlowStoreCounts:
        """How full the store is and what it had to leave out."""
        return FlowStoreCounts(
            live={name: len(known.live) for name, known in self._protocols.items()},
            history=len(self._history),
            history_capacity=self._history.capacity,
            overwritten=self._history.overwritten,
            over_capacity=sum(known.live.over_capacity for known in self._protocols.values()),
            late=self._late,
            followers=len(self.followers),
            lost_by_followers=self.followers.lost,
        )

    def _take_snapshot(self, known: _Protocol, rows: Rows, outcome: str) -> None:
        late = known.ended.among(rows["flow"])
        known.ended.age()
        self._late += int(np.count_nonzero(late))
        rows = _last_of_each(rows[~late])
        fresh = known.live.recognise(rows)
        self._number(rows, fresh)
        gone = known.live.replace(rows)
        gone["event"] = self._ended_event(gone)
        gone["outcome"] = self._reader.tables["outcome"].code(outcome)
        gone["ended_at"] = gone["observed_at"]
        self._history.append(gone)
        self.followers.publish(np.concatenate([rows[fresh], gone]))

    def _update(self, known: _Protocol, rows: Rows) -> None:
        rows = _last_of_each(rows[~known.ended.among(rows["flow"])])
        fresh = known.live.recognise(rows)
        self._number(rows, fresh)
        known.live.update(rows)
        self.followers.publish(rows[fresh])

    def _end(self, known: _Protocol, rows: Rows) -> None:
        if not len(rows):
            return
        self._number(rows, known.live.recognise(rows))
        rows["ended_at"] = rows["observed_at"]
        known.live.end(rows["flow"])
        known.ended.add(rows["flow"])
        self._history.append(rows)
        self.followers.publish(rows)

    def _number(self, rows: Rows, fresh: Column) -> None:
        count = int(np.count_nonzero(fresh))
        rows["sequence"][fresh] = np.arange(self._next_sequence, self._next_sequence + count, dtype=np.uint64)
        self._next_sequence += count

    def _ended_event(self, rows: Rows) -> Column:
        events = self._reader.tables["event"]
        return np.where(rows["event"] == events.code("listening"), events.code("listen_ended"), events.code("closed"))


def _last_of_each(rows: Rows) -> Rows:
    """Each flow once, sorted by flow: an iterator may show an element twice (its page was full), the later is truer."""
    rows = rows[np.argsort(rows["flow"], kind="stable")]
    last = np.ones(len(rows), bool)
    last[:-1] = rows["flow"][1:] != rows["flow"][:-1]
    return rows[last]


def _tells_its_end(batch: Batch) -> bool:
    """Whether the kernel reports the end of such a flow; else it just falls silent, like a UDP conversation."""
    return any(field.name == "event" and "closed" in field.names.values() for field in batch.schema.fields)
