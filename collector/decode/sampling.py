"""Which requests become spans: a ratio of all, and what is worth more than that, under a limit per second.

Chosen a batch at a time. Every request that was not chosen is counted by the reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from collector.batch import Column, Rows
from collector.clock import NANOSECONDS
from collector.decode.request import Outcome
from collector.decode.request_record import OUTCOME_NUMBERS
from collector.decode.sampled_kin import Places, SampledKin, places_of
from collector.decode.trace_columns import TraceColumns
from collector.row_hash import FINISH, SHIFT, hash_numbers

# What goes first when the limit cuts.
FAILED, SLOW, TRACED, KIN, BY_RATIO, LEFT_OUT = range(6)
ALL = 1 << 64
FAILURES = (OUTCOME_NUMBERS[Outcome.ERROR], OUTCOME_NUMBERS[Outcome.UNANSWERED])


class RequestSampler:
    """ratio: 0 to 1. per_second: of spans, 0 none. slow_seconds: from here on a request is always wanted."""

    def __init__(self, ratio: float = 0.01, per_second: float = 100, slow_seconds: float = 1.0) -> None:
        self._least_key = round((1 - ratio) * ALL)
        self._slow_ns = round(slow_seconds * NANOSECONDS)
        self._bucket = TokenBucket(per_second)
        self._kin = SampledKin()
        self._sampled = self._cut_by_ratio = self._cut_by_rate = 0

    def choose(self, rows: Rows, traces: TraceColumns | None = None) -> Column:
        """bool (n,) for rows of `request`. traces: of the same rows, where headers could be read.

        All agents decide alike about a trace, as far as the limit lets them: its id is the lot (consistent probability
        sampling, OpenTelemetry "TraceState: Probability Sampling"), and what the caller records is wanted.
        """
        chosen: Column = np.zeros(len(rows), np.bool_)
        if not len(rows):
            return chosen
        room = self._bucket.refill(int(rows["observed_at"].max()))
        keys = self._keys(rows, traces)
        places = places_of(rows)
        ranks = self._ranks(rows, keys, traces)
        ranks[(ranks == LEFT_OUT) & self._kin.relatives(places)] = KIN
        wanted = np.flatnonzero(ranks < LEFT_OUT)
        chosen[best(wanted, ranks[wanted], keys[wanted], room)] = True
        self._add_kin(places, chosen, ranks, room)
        self._count(chosen, ranks)
        return chosen

    def counters(self) -> Mapping[str, int]:
        """sampled, and not_sampled_ by reason, since the start; together all rows."""
        return {
            "sampled": self._sampled,
            "not_sampled_ratio": self._cut_by_ratio,
            "not_sampled_rate": self._cut_by_rate,
        }

    def _keys(self, rows: Rows, traces: TraceColumns | None) -> Column:
        keys = hash_numbers([rows["flow"], rows["observed_at"]])
        keys ^= keys >> SHIFT
        keys *= FINISH
        return keys if traces is None else np.where(traces.keys != 0, traces.keys, keys)

    def _ranks(self, rows: Rows, keys: Column, traces: TraceColumns | None) -> Column:
        ranks: Column = np.full(len(rows), LEFT_OUT, np.uint8)
        if self._least_key < ALL:
            ranks[keys >= np.uint64(self._least_key)] = BY_RATIO
        if traces is not None:
            ranks[traces.sampled] = TRACED
        ranks[rows["duration"] >= self._slow_ns] = SLOW
        outcome = rows["outcome"]
        ranks[(outcome == FAILURES[0]) | (outcome == FAILURES[1]) | (rows["error_type"] != 0)] = FAILED
        return ranks

    def _add_kin(self, places: Places, chosen: Column, ranks: Column, room: int) -> None:
        """Whatever is left of the room, for relatives in the same batch of what was chosen just now."""
        taken = np.flatnonzero(chosen)
        if not len(taken):
            return
        self._kin.remember(places.select(taken))
        related = np.flatnonzero((ranks == LEFT_OUT) & self._kin.relatives(places))
        ranks[related] = KIN
        kept = related[: room - len(taken)]
        chosen[kept] = True
        self._kin.remember(places.select(kept))

    def _count(self, chosen: Column, ranks: Column) -> None:
        sampled, left_out = int(np.count_nonzero(chosen)), int(np.count_nonzero(ranks == LEFT_OUT))
        self._bucket.take(sampled)
        self._sampled += sampled
        self._cut_by_ratio += left_out
        self._cut_by_rate += len(chosen) - sampled - left_out


def best(places: Column, ranks: Column, keys: Column, room: int) -> Column:
    """The `room` places of lowest rank; among equals those of the highest keys, whoever decides."""
    if len(places) <= room:
        return places
    kept: Column = places[np.lexsort((~keys, ranks))[:room]]
    return kept


class TokenBucket:
    """A limit per second of the rows' own time, with what a second has saved up. Rows of earlier times add nothing."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(per_second, 1.0) if per_second else 0.0
        self._tokens = self._most
        self._refilled_at = 0

    def refill(self, now_ns: int) -> int:
        """How many there are at that time."""
        passed = max(now_ns - self._refilled_at, 0) / NANOSECONDS
        self._tokens = min(self._tokens + passed * self._per_second, self._most)
        self._refilled_at = max(now_ns, self._refilled_at)
        return int(self._tokens)

    def take(self, count: int) -> None:
        self._tokens -= count
