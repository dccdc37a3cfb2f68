from __future__ import annotations

import numpy as np

from collector.batch import Batch, BatchKind, Column, Field, RowGroups, Schema
from collector.enrich.identity import build_identities
from collector.enrich.owner_groups import OwnerEnrichers
from collector.row_groups import group_rows

SECOND = 1_000_000_000
DTYPE = np.dtype([("observed_at", "u8"), ("flow", "u8"), ("process_started_at", "u8"), ("cgroup", "u8"), ("process", "u4")])
SCHEMA = Schema(
    "test", "request", DTYPE, tuple(Field(name, "boot_ns" if name == "observed_at" else "") for name in DTYPE.names or ())
)


class Counting:
    """Answers with ten times the flow, and remembers how many rows it was asked about."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def enrich(self, batch: Batch) -> None:
        self.asked.append(len(batch))
        batch.columns["local"] = batch.rows["flow"].astype(np.int32) * 10


def batch_of(flows: list[int], now: int, *, grouped: bool = True) -> Batch:
    rows = np.zeros(len(flows), DTYPE)
    rows["flow"], rows["observed_at"] = flows, now
    owners: RowGroups | None = group_rows([rows["flow"], rows["process"]]) if grouped else None
    return Batch(SCHEMA, BatchKind.EVENTS, rows, owners=owners)


def enriched(enrichers: OwnerEnrichers, batch: Batch) -> Column:
    enrichers.enrich(batch)
    return batch.columns["local"]


def test_each_owner_is_asked_for_once_and_all_its_rows_know() -> None:
    inner = Counting()
    found = enriched(OwnerEnrichers([inner], build_identities()), batch_of([3, 5, 3, 3, 5], SECOND))
    assert found.tolist() == [30, 50, 30, 30, 50]
    assert inner.asked == [2]


def test_answers_are_used_for_a_second_where_all_owners_have_one() -> None:
    inner = Counting()
    enrichers = OwnerEnrichers([inner], build_identities())
    enriched(enrichers, batch_of([3, 5, 7], SECOND))
    assert enriched(enrichers, batch_of([7, 3], SECOND + 1)).tolist() == [70, 30]
    assert inner.asked == [3]
    assert enriched(enrichers, batch_of([7, 9], SECOND + 2)).tolist() == [70, 90]
    assert inner.asked == [3, 2]
    enriched(enrichers, batch_of([7, 9], 2 * SECOND + 3))
    assert inner.asked == [3, 2, 2]


def test_what_identity_learns_is_asked_for_at_once() -> None:
    inner, identities = Counting(), build_identities()
    enrichers = OwnerEnrichers([inner], identities)
    enriched(enrichers, batch_of([3], SECOND))
    identities._version += 1
    enriched(enrichers, batch_of([3], SECOND + 1))
    assert inner.asked == [1, 1]


def test_rows_without_known_owners_are_all_asked_for() -> None:
    inner = Counting()
    enriched(OwnerEnrichers([inner], build_identities()), batch_of([3, 3, 3], SECOND, grouped=False))
    assert inner.asked == [3]
