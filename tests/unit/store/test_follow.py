"""Live follow: bounded queues, honest losses, nobody waits."""

from __future__ import annotations

import numpy as np
import pytest

from collector.batch import Rows
from collector.errors import QueryError
from collector.store.flow_rows import FLOW
from collector.store.follow import Followers


def rows(first: int, count: int) -> Rows:
    made = np.zeros(count, FLOW)
    made["flow"] = np.arange(first, first + count)
    return made


def test_a_reader_that_keeps_up_gets_every_row_in_order() -> None:
    followers = Followers()
    subscription = followers.subscribe()
    for first in range(0, 100, 10):
        followers.publish(rows(first, 10))
    taken, lost = subscription.take()
    assert (taken["flow"].tolist(), lost) == (list(range(100)), 0)
    assert len(subscription.take()[0]) == 0


def test_a_slow_reader_loses_the_oldest_rows_and_is_told_how_many() -> None:
    followers = Followers(queue_rows=25)
    slow, quick = followers.subscribe(), followers.subscribe()
    taken = []
    for first in range(0, 100, 10):
        followers.publish(rows(first, 10))
        taken += quick.take()[0]["flow"].tolist()
    kept, lost = slow.take()
    assert kept["flow"].tolist() == list(range(80, 100))
    assert lost == followers.lost == 80
    assert taken == list(range(100))


def test_a_burst_larger_than_the_queue_leaves_its_newest_rows() -> None:
    followers = Followers(queue_rows=10)
    subscription = followers.subscribe()
    followers.publish(rows(0, 1000))
    kept, lost = subscription.take()
    assert (kept["flow"].tolist(), lost) == (list(range(990, 1000)), 990)


def test_there_is_a_limit_of_readers_and_who_leaves_makes_room() -> None:
    followers = Followers(subscribers_max=2)
    first = followers.subscribe()
    followers.subscribe()
    with pytest.raises(QueryError, match="2 readers follow already"):
        followers.subscribe()
    followers.unsubscribe(first)
    followers.unsubscribe(first)
    assert len(followers) == 1
    followers.subscribe()
