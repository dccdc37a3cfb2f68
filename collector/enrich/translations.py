"""Connections whose addresses are rewritten on their way (NAT): which addresses the socket at their other end has.

A client of a service sees the service's address; the socket behind it sees the client, or whatever the client's address
was replaced by. Both see the same connection, and here each view leads to the other one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collector.address_translation import DESTROYED, EXISTING, TABLE_READ
from collector.batch import Batch, Column, Rows
from collector.enrich.address_columns import octets_of
from collector.row_hash import hash_rows

NANOSECONDS = 1_000_000_000
SWEEP_NS = 10 * NANOSECONDS

# What is kept of a view, beside its key. own, remote: addresses and ports as the OTHER end's socket has them.
VIEW = np.dtype(
    [
        *(("own", "V16"), ("remote", "V16"), ("own_port", "u2"), ("remote_port", "u2"), ("netns", "u4")),
        *(("since", "u8"), ("ended_at", "u8"), ("seen_at", "u8")),
    ]
)
OTHER_END = ("own", "remote", "own_port", "remote_port")
ORIGINAL = ("original_source", "original_destination")
REPLY = ("reply_source", "reply_destination")


@dataclass(slots=True)
class OtherEnds:
    """Of those rows (indices) that have one: the other end's own and remote address (uint8, shape (m, 16)) and ports."""

    rows: Column
    own: Column
    remote: Column
    own_port: Column
    remote_port: Column


class Translations:
    """Bounded: of `maximum` connections those that ended longest ago go first, then those told longest ago; counted.

    Two of one 4-tuple are told apart by time: a row that is older than the connection gets no answer rather than a wrong one.
    kept_seconds: how long an ended one is still known; rows come late.
    """

    def __init__(self, maximum: int = 65536, kept_seconds: float = 120) -> None:
        self._maximum, self._kept_ns = 2 * maximum, int(kept_seconds * NANOSECONDS)
        self._keys = np.zeros(0, np.uint64)  # sorted, each once
        self._slots = np.zeros(0, np.int32)  # where the view of each key lies: views stay where they are, as they are large
        self._views = np.zeros(1024, VIEW)
        self._used = 0
        self._swept_at = 0
        self.evicted = 0

    def __len__(self) -> int:
        """Connections known, ended ones among them."""
        return len(self._keys) // 2

    def learn(self, batch: Batch) -> None:
        """Takes rows of address_translation in the order in which they happened."""
        events = batch.rows["event"]
        told = batch.rows[events != TABLE_READ]
        now = int(batch.rows["observed_at"].max(initial=0))
        if len(told):
            self._take(*views_of(told))
        for row in batch.rows[events == TABLE_READ]:
            views = self._views[: self._used]
            views["ended_at"][(views["seen_at"] < row["since"]) & (views["ended_at"] == 0)] = row["observed_at"]
        self._sweep(now)

    def find(self, keys: Column, netns: Column, loopback: Column, opened_at: Column, at: Column) -> OtherEnds | None:
        """The other ends of rows with these keys (of `view_keys`); None when no row has one.

        opened_at: when the row's connection began; at: a moment when it surely was there. A loopback address means something
        only in the network namespace that translates.
        """
        if not len(self._keys):
            return None
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        rows = np.flatnonzero(self._keys[place] == keys)
        found = self._views[self._slots[place[rows]]]
        valid = (found["since"] <= at[rows]) & ((found["ended_at"] == 0) | (found["ended_at"] >= opened_at[rows]))
        valid &= ~loopback[rows] | (found["netns"] == netns[rows])
        if not valid.any():
            return None
        found = found[valid]
        return OtherEnds(
            rows[valid], octets_of(found["own"]), octets_of(found["remote"]), found["own_port"], found["remote_port"]
        )

    def _take(self, keys: Column, views: Rows, events: Column) -> None:
        """The last beginning of each key counts; an end that a beginning follows was that of an earlier connection."""
        begun = np.flatnonzero(events != DESTROYED)
        begun = begun[last_of_each(keys[begun])]
        self._begin(keys[begun], views[begun], events[begun] == EXISTING)
        ended = np.flatnonzero(events == DESTROYED)
        if len(begun):
            place = np.minimum(np.searchsorted(keys[begun], keys[ended]), len(begun) - 1)
            ended = ended[(keys[begun][place] != keys[ended]) | (begun[place] < ended)]
        ended = ended[last_of_each(keys[ended])]
        views["ended_at"][ended] = views["seen_at"][ended]
        self._end(keys[ended], views[ended])

    def _begin(self, keys: Column, views: Rows, existing: Column) -> None:
        """existing: told again, or for the first time, by a reading of the whole table."""
        place, found = self._locate(keys)
        known, told = self._slots[place[found]], views[found]
        again = existing[found] & (self._views["ended_at"][known] == 0) & self._same(known, told)
        self._views["seen_at"][known[again]] = told["seen_at"][again]
        self._views[known[~again]] = told[~again]
        self._insert(place[~found], keys[~found], views[~found])

    def _end(self, keys: Column, views: Rows) -> None:
        place, found = self._locate(keys)
        known, told = self._slots[place[found]], views[found]
        same = self._same(known, told)
        self._views["ended_at"][known[same]] = told["ended_at"][same]
        self._insert(place[~found], keys[~found], views[~found])

    def _locate(self, keys: Column) -> tuple[Column, Column]:
        """(position, whether the key is there)."""
        place = np.searchsorted(self._keys, keys)
        if not len(self._keys):
            return place, np.zeros(len(keys), bool)
        return place, np.asarray(self._keys[np.minimum(place, len(self._keys) - 1)] == keys)

    def _same(self, slots: Column, views: Rows) -> Column:
        """Whether the views there lead to the same other end."""
        known = self._views[slots]
        return np.asarray(np.logical_and.reduce([known[name] == views[name] for name in OTHER_END]))

    def _insert(self, place: Column, keys: Column, views: Rows) -> None:
        if not len(keys):
            return
        end = self._used + len(keys)
        if end > len(self._views):
            self._views = np.concatenate([self._views, np.zeros(end, VIEW)])  # at least twice as many
        self._views[self._used : end] = views
        self._keys = np.insert(self._keys, place, keys)
        self._slots = np.insert(self._slots, place, np.arange(self._used, end, dtype=np.int32))
        self._used = end

    def _sweep(self, now: int) -> None:
        """Looks at all, so not each time."""
        if len(self._keys) <= self._maximum and now < self._swept_at + SWEEP_NS:
            return
        self._swept_at = now
        ended_at, seen_at = self._views["ended_at"][self._slots], self._views["seen_at"][self._slots]
        kept = np.flatnonzero((ended_at == 0) | (ended_at + np.uint64(self._kept_ns) >= np.uint64(now)))
        surplus = len(kept) - self._maximum
        if surplus > 0:
            surplus += self._maximum // 4  # so that there is room for a while
            self.evicted += (surplus + 1) // 2
            order = np.lexsort((seen_at[kept], ended_at[kept] == 0))
            kept = np.sort(kept[order[surplus:]])
        if len(kept) < len(self._keys):
            self._keys, self._views = self._keys[kept], self._views[self._slots[kept]]
            self._slots, self._used = np.arange(len(kept), dtype=np.int32), len(kept)


def view_keys(transport: Column, own: Column, own_port: Column, remote: Column, remote_port: Column) -> Column:
    """One number per socket's view of its connection. transport: IP protocol numbers; own, remote: uint8, shape (n, 16)."""
    return hash_rows([transport, own_port, *own.view(np.uint64).T, remote_port, *remote.view(np.uint64).T])


def views_of(told: Rows) -> tuple[Column, Rows, Column]:
    """(key, the other end, event) of both views of each row, all first views before all second ones."""
    keys, views = [], []
    for (own, remote), (other, back) in ((ORIGINAL, REPLY), (REPLY, ORIGINAL)):
        ends = [octets_of(told[own]), told[f"{own}_port"], octets_of(told[remote]), told[f"{remote}_port"]]
        keys.append(view_keys(told["transport"], *ends))
        view = np.zeros(len(told), VIEW)
        view["own"], view["own_port"], view["remote"], view["remote_port"] = (
            told[other], told[f"{other}_port"], told[back], told[f"{back}_port"],
        )  # fmt: skip
        view["netns"], view["since"], view["seen_at"] = told["netns"], told["since"], told["observed_at"]
        views.append(view)
    return np.concatenate(keys), np.concatenate(views), np.tile(told["event"], 2)


def last_of_each(keys: Column) -> Column:
    """Where the last of each distinct key stands, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    last = np.ones(len(order), bool)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]
