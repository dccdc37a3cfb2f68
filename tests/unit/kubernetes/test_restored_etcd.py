"""etcd was restored from a snapshot: the server's versions went back, and a watch from ours would say nothing for long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from api_server_double import ApiServerDouble
from api_server_faults import refuse
from cluster_objects import pod, uid_of
from cluster_sink import QUICK, Watched, watching
from cluster_store import Snapshot
from otlp_receiver import wait_for

from collector.kubernetes.versions import is_before

BACK = {"rewound": 1}


def age(cluster: ApiServerDouble) -> Snapshot:
    """A snapshot with web-0 and web-1; afterwards web-1 goes and web-2 comes, and many versions with them."""
    for number in range(2):
        cluster.put("pods", pod(f"web-{number}"))
    kept = cluster.store.snapshot()
    cluster.delete("pods", "default", "web-1")
    for _ in range(50):
        cluster.put("pods", pod("web-2"))
    return kept


def restore(cluster: ApiServerDouble, kept: Snapshot) -> None:
    """The API server is away meanwhile, as it has to be."""
    cluster.misbehave(refuse("pods", 503, times=1000))
    cluster.interrupt("pods", "cut")
    wait_for(lambda: not cluster.watching("pods"))
    cluster.store.restore(kept)
    cluster.faults.clear()


def expect_the_past(cluster: ApiServerDouble, watched: Watched) -> None:
    wait_for(lambda: watched.sink.names() == {"web-0", "web-1"} and watched.synced())
    assert watched.status().relists == BACK
    assert watched.status().requests["rewound"] == 1
    assert uid_of("Pod", "default", "web-2") in {change.fact.uid for change in watched.sink.changes if change.gone}
    cluster.put("pods", pod("news"))
    wait_for(lambda: watched.sink.named("news"))
    assert watched.status().relists == BACK, "once is enough"


@pytest.mark.parametrize("streaming", [True, False])
def test_versions_that_went_back_while_the_server_was_away_are_noticed_at_once(cluster: ApiServerDouble, streaming: bool) -> None:
    cluster.streaming_lists = streaming
    kept = age(cluster)
    with watching(cluster) as watched:
        wait_for(lambda: cluster.watching("pods") and watched.synced())
        restore(cluster, kept)
        expect_the_past(cluster, watched)


def test_versions_that_went_back_unseen_are_noticed_when_the_stream_stays_silent(cluster: ApiServerDouble) -> None:
    """A load balancer hid that the server was away: the stream ended politely and the next one began."""
    kept = age(cluster)
    with watching(cluster, pace=replace(QUICK, silence=0.4)) as watched:
        wait_for(lambda: cluster.watching("pods") and watched.synced())
        cluster.store.restore(kept)
        cluster.interrupt("pods", "end")
        expect_the_past(cluster, watched)


def test_a_bookmark_from_before_our_version_tells_it(cluster: ApiServerDouble) -> None:
    """So a server without a watch cache, which asks etcd itself."""
    kept = age(cluster)
    with watching(cluster) as watched:
        wait_for(lambda: cluster.watching("pods") and watched.synced())
        cluster.store.restore(kept)
        cluster.interrupt("pods", "early bookmark")
        expect_the_past(cluster, watched)


def test_a_server_that_was_away_and_lost_nothing_is_not_listed_again(cluster: ApiServerDouble) -> None:
    """The question is for one object's metadata, however many there are."""
    age(cluster)
    with watching(cluster) as watched:
        wait_for(lambda: cluster.watching("pods") and watched.synced())
        cluster.interrupt("pods", "cut")
        wait_for(lambda: watched.status().requests.get("dropped"))
        cluster.put("pods", pod("news"))
        wait_for(lambda: watched.sink.named("news"))
        assert watched.status().relists == {}
        (asked,) = cluster.asked("pods", "list")
        assert asked.query == {"limit": "1"}
        assert "as=PartialObjectMetadataList" in asked.accept


def test_a_stream_that_ended_in_time_is_followed_by_the_next_without_a_question(cluster: ApiServerDouble) -> None:
    age(cluster)
    with watching(cluster) as watched:
        wait_for(lambda: cluster.watching("pods") and watched.synced())
        cluster.interrupt("pods", "end")
        wait_for(lambda: len(cluster.asked("pods", "watch")) == 2)
        assert cluster.asked("pods", "list") == []


@pytest.mark.parametrize(
    ("version", "other", "before"),
    [
        ("9", "10", True),
        ("10", "9", False),
        ("10", "10", False),
        ("", "10", False),
        ("9", "", False),
        ("opaque-1", "opaque-2", False),
        ("٩", "10", False),
        ("1" * 5000, "2" * 5000, False),
    ],
)
def test_only_numbers_are_compared(version: str, other: str, before: bool) -> None:
    assert is_before(version, other) is before
