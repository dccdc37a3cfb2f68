"""Names the owners of a batch once each: what many rows of a connection have in common is asked for one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from collector.batch import Batch, Column, RowGroups
from collector.enrich.enrichers import Enricher
from collector.enrich.identity import Identities
from collector.enrich.local import latest_time
from collector.row_hash import hash_rows

KEPT_NS = 1_000_000_000  # of the rows' own time: what is learnt about an address meanwhile shows a second later
IDENTIFYING = ("flow", "process", "process_started_at", "cgroup")


class KnownOwners(NamedTuple):
    """What was added to the owners of one batch. keys: sorted, columns in their order. asked_at: boot_ns."""

    keys: Column
    columns: Mapping[str, Column]
    asked_at: int
    version: int


class OwnerEnrichers:
    """Applies `inner` to one row of each owner and gives all its rows what was added; to all rows where no owners are known.

    Answers are used again for a second, in batches whose owners all have one: connections go on asking.
    """

    def __init__(self, inner: Sequence[Enricher], identities: Identities) -> None:
        self._inner = inner
        self._identities = identities
        self._known: dict[str, KnownOwners] = {}

    def enrich(self, batch: Batch) -> None:
        if batch.owners is None:
            for enricher in self._inner:
                enricher.enrich(batch)
            return
        first, inverse = batch.owners
        keys = hash_rows([batch.rows[name][first] for name in IDENTIFYING])
        now = latest_time(batch)
        known = self._known.get(batch.schema.probe)
        if known is None or known.version != self._identities.version or not 0 <= now - known.asked_at < KEPT_NS:
            known = None
        place = self._locate(known, keys)
        if known is None or place is None:
            known = self._ask(batch.select(first), keys, now)
            place = np.searchsorted(known.keys, keys)
        spread = place[inverse]
        batch.columns |= {name: column[spread] for name, column in known.columns.items()}

    def _locate(self, known: KnownOwners | None, keys: Column) -> Column | None:
        """Where the keys are; None when one is not there."""
        if known is None:
            return None
        place = np.searchsorted(known.keys, keys)
        return place if (place < len(known.keys)).all() and (known.keys[place] == keys).all() else None

    def _ask(self, owners: Batch, keys: Column, now: int) -> KnownOwners:
        there, each = set(owners.columns), np.arange(len(owners))
        owners.owners = RowGroups(each, each)  # so that nobody groups them again
        for enricher in self._inner:
            enricher.enrich(owners)
        order = np.argsort(keys)
        added = {name: column[order] for name, column in owners.columns.items() if name not in there}
        known = self._known[owners.schema.probe] = KnownOwners(keys[order], added, now, self._identities.version)
        return known
