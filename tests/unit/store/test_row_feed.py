"""An exporter sees every row that came into the stores, once, and the open flows of the same moment."""

from __future__ import annotations

import threading

from collector.store.flows import FlowStore
from collector.store.lookups import LookupStore
from collector.store.requests import RequestStore
from collector.store.row_feed import StoreFeed
from store.flow_batches import OFFSET_NS, ended, events, many_ended, snapshot, tcp
from store.request_batches import RequestBatches, request


class Stores:
    def __init__(self) -> None:
        self.flows, self.requests, self.lookups = FlowStore(), RequestStore(capacity=100), LookupStore()

    def feed(self) -> StoreFeed:
        return StoreFeed(self.flows, self.requests, self.lookups, threading.RLock())


def test_what_was_there_before_and_what_comes_later_is_seen_once() -> None:
    stores = Stores()
    stores.flows.add(many_ended(10_000), OFFSET_NS, "tcp")
    feed = stores.feed()
    stores.flows.add(many_ended(50, first_flow=20_000), OFFSET_NS, "tcp")
    taken = feed.take()["flows"]
    assert (len(taken.rows), len(set(taken.rows["flow"].tolist())), taken.lost) == (10_050, 10_050, 0)
    assert len(feed.take()["flows"].rows) == 0


def test_flows_come_when_they_end_and_open_ones_when_asked_for() -> None:
    stores = Stores()
    feed = stores.feed()
    stores.flows.add(snapshot(tcp(1), tcp(2), tcp(3), tcp(4, event="listening", role="listener")), OFFSET_NS, "tcp")
    assert len(feed.take()["flows"].rows) == 0
    stores.flows.add(events(ended(2)), OFFSET_NS, "tcp")
    taken = feed.take(open_flows=True)
    assert taken["flows"].rows["flow"].tolist() == [2]
    assert taken["open_flows"].rows["flow"].tolist() == [1, 3]
    names = taken["flows"].names
    assert names["outcome"][taken["flows"].rows["outcome"][0]] == "closed"


def test_paths_of_requests_stay_right_however_many_pass() -> None:
    stores, batches = Stores(), RequestBatches()
    feed, wrong = stores.feed(), 0
    for first in range(0, 3000, 50):
        stores.requests.add(batches.batch(*(request(resource=f"/item/{n}") for n in range(first, first + 50))), OFFSET_NS)
        if first % 100:
            taken = feed.take()["requests"]
            paths = [taken.names["resource"][code] for code in taken.rows["resource"].tolist()]
            wrong += paths != [f"/item/{n}" for n in range(first - 50, first + 50)]
    assert wrong == 0


def test_rows_that_come_too_fast_are_counted() -> None:
    stores = Stores()
    feed = stores.feed()
    for first in range(0, 60_000, 10_000):
        stores.flows.add(many_ended(10_000, first_flow=1 + first), OFFSET_NS, "tcp")
    taken = feed.take()["flows"]
    assert (len(taken.rows), taken.lost) == (50_000, 10_000)


def test_after_the_end_nothing_is_queued() -> None:
    stores = Stores()
    feed = stores.feed()
    feed.close()
    stores.flows.add(many_ended(10), OFFSET_NS, "tcp")
    assert len(feed.take()["flows"].rows) == 0
    assert len(stores.flows.followers) == 0


def test_what_is_not_wanted_is_not_queued() -> None:
    stores = Stores()
    feed = StoreFeed(stores.flows, stores.requests, stores.lookups, threading.RLock(), ("requests",))
    stores.flows.add(many_ended(10), OFFSET_NS, "tcp")
    assert feed.take(open_flows=True).keys() == {"requests"}
    assert (len(stores.flows.followers), len(stores.requests.followers)) == (0, 1)
