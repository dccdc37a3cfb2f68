"""What comes into the stores, for one exporter that must see everything: bounded queues, and the open flows when asked."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from collector.batch import Column, Rows
from collector.store.flow_rows import FLOW
from collector.store.flows import FlowStore, FlowView
from collector.store.follow import Followers, Subscription
from collector.store.lookups import LOOKUP, LookupStore
from collector.store.requests import REQUEST, RequestStore
from collector.stored_rows import StoredRows


class StoreFeed:
    """A RowFeed. lock: the pipeline's, held for as long as it takes to swap lists, never per row.

    A queue is as long as its store's history: codes of passing words are good for no more rows than that.
    """

    def __init__(
        self,
        flows: FlowStore,
        requests: RequestStore,
        lookups: LookupStore,
        lock: threading.RLock,
        wanted: Collection[str] = ("flows", "requests", "lookups"),
    ) -> None:
        self._flows, self._requests, self._lookups, self._lock = flows, requests, lookups, lock
        self._stores = {
            name: store for name, store in (("flows", flows), ("requests", requests), ("lookups", lookups)) if name in wanted
        }
        lengths = {
            "flows": flows.counts().history_capacity,
            "requests": requests.counts().capacity,
            "lookups": lookups.counts().capacity,
        }
        with lock:
            self._queues = {
                name: _begin(store.followers, lengths[name], store.view().history) for name, store in self._stores.items()
            }

    def take(self, open_flows: bool = False) -> Mapping[str, StoredRows]:
        """See RowFeed."""
        with self._lock:
            taken = {name: queue.take_pieces() for name, queue in self._queues.items()}
            flows = self._flows.view()
            names: dict[str, Mapping[str, Sequence[str]]] = {
                "flows": flows.names,
                "requests": self._requests.view().words,
                "lookups": self._lookups.view().names,
            }
        whole = {name: (_together(pieces, DTYPES[name]), lost) for name, (pieces, lost) in taken.items()}
        if "flows" in whole:
            rows, lost = whole["flows"]
            rows = rows[rows["ended_at"] > 0]  # followers also see flows begin
            whole["flows"] = rows[~_is_listener(rows, flows)], lost
        found = {name: StoredRows(rows, names[name], lost) for name, (rows, lost) in whole.items()}
        if open_flows and "flows" in whole:
            rows = _together([rows[alive] for rows, alive in flows.live], FLOW)
            found["open_flows"] = StoredRows(rows[~_is_listener(rows, flows)], flows.names)
        return found

    def close(self) -> None:
        """No more rows are queued."""
        for name, store in self._stores.items():
            store.followers.unsubscribe(self._queues[name])


DTYPES = {"flows": FLOW, "requests": REQUEST, "lookups": LOOKUP}


def _begin(followers: Followers, queue_rows: int, history: Iterable[Rows]) -> Subscription:
    queue = followers.subscribe(queue_rows)
    for rows in history:
        queue.put(rows)
    return queue


def _is_listener(rows: Rows, view: FlowView) -> Column:
    """A socket that waits for flows is none, as in the API's answers."""
    states = view.names["event"]
    listening: Column = np.isin(rows["event"], [states.index("listening"), states.index("listen_ended")])
    return listening


def _together(pieces: Sequence[Rows], dtype: np.dtype[np.void]) -> Rows:
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype)
