"""Every way in which an API server, or the network before it, lets a watch down; afterwards all that is so is known again."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from api_server_double import ApiServerDouble
from api_server_faults import half_a_page, hang, refuse, say, silent_watch
from cluster_objects import pod, uid_of
from cluster_sink import IMPATIENT, QUICK, Watched, watching
from otlp_receiver import wait_for

from collector.cluster_status import WatchState
from collector.kubernetes.cluster_watch import WatchOptions


def fill(cluster: ApiServerDouble, count: int, first: int = 0) -> set[str]:
    names = {f"web-{number}" for number in range(first, first + count)}
    for name in sorted(names):
        cluster.put("pods", pod(name))
    return names


def expect_news(cluster: ApiServerDouble, watched: Watched, name: str = "news") -> None:
    """What happens from now on arrives."""
    cluster.put("pods", pod(name))
    wait_for(lambda: watched.sink.named(name))
    wait_for(watched.synced)


def test_an_older_server_is_listed_in_pages(cluster: ApiServerDouble) -> None:
    cluster.streaming_lists = False
    names = fill(cluster, 7)
    with watching(cluster) as watched:
        wait_for(lambda: watched.sink.names() == names)
        expect_news(cluster, watched)
        assert [one.verb for one in cluster.asked("pods")] == ["watch", "list", "watch"]
        assert watched.status().requests == {"unsupported": 1, "answered": 1}
        assert watched.status().waits == 0


def test_pages_are_followed_by_their_token_and_are_one_version(cluster: ApiServerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.kubernetes.reflector.PAGE_OBJECTS", 3)
    cluster.streaming_lists = False
    names = fill(cluster, 8)
    with watching(cluster, WatchOptions("node-1", "pods")) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert [one.query.get("limit") for one in cluster.asked("pods", "list")] == ["3", "3", "3"]
        assert all("resourceVersion" not in one.query for one in cluster.asked("pods", "list"))
        wait_for(lambda: cluster.watching("pods"))
        assert cluster.asked("pods", "watch")[-1].query["resourceVersion"] == str(cluster.store.version)


def test_a_continue_token_that_expired_starts_the_list_again(cluster: ApiServerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.kubernetes.reflector.PAGE_OBJECTS", 3)
    cluster.streaming_lists = False
    names = fill(cluster, 8)
    listed = cluster.store.list

    def forget_after_the_first_page(*arguments: object) -> object:
        found = listed(*arguments)  # type: ignore[arg-type]
        if len(cluster.asked("pods", "list")) == 1:
            cluster.store.oldest = cluster.store.version + 1
            cluster.store.version += 2
        return found

    monkeypatch.setattr(cluster.store, "list", forget_after_the_first_page)
    with watching(cluster, WatchOptions("node-1", "pods")) as watched:
        wait_for(lambda: watched.sink.names() == names and watched.synced())
        assert watched.status().relists == {"gone": 1}


@pytest.mark.parametrize("streaming", [True, False])
def test_gone_in_the_stream_tells_all_again_and_what_vanished_meanwhile_is_gone(
    cluster: ApiServerDouble, streaming: bool
) -> None:
    cluster.streaming_lists = streaming
    fill(cluster, 3)
    with watching(cluster) as watched:
        wait_for(lambda: cluster.watching("pods") and watched.synced())
        cluster.misbehave(hang_until_forgotten := refuse("pods", 410, "Expired"))
        cluster.interrupt("pods", "410")
        wait_for(lambda: hang_until_forgotten.times == 0)
        cluster.delete("pods", "default", "web-1")
        wait_for(lambda: watched.sink.names() == {"web-0", "web-2"})
        expect_news(cluster, watched)
        assert [change.fact.uid for change in watched.sink.changes if change.gone] == [uid_of("Pod", "default", "web-1")]
        assert watched.status().relists["gone"] >= 1
        assert watched.status().requests["gone"] >= 2


def test_gone_as_a_status_tells_all_again(cluster: ApiServerDouble) -> None:
    fill(cluster, 3)
    with watching(cluster) as watched:
        wait_for(watched.synced)
        cluster.misbehave(refuse("pods", 503, times=1000))
        cluster.interrupt("pods", "cut")
        wait_for(lambda: not cluster.watching("pods"))
        cluster.delete("pods", "default", "web-0")
        cluster.store.forget_history()
        cluster.faults.clear()
        wait_for(lambda: watched.sink.names() == {"web-1", "web-2"})
        expect_news(cluster, watched)
        assert watched.status().relists == {"gone": 1}
        assert [change.fact.uid for change in watched.sink.changes if change.gone] == [uid_of("Pod", "default", "web-0")]


@pytest.mark.parametrize("how", ["cut", "end", "garbage"])
def test_a_stream_that_breaks_goes_on_where_it_was(cluster: ApiServerDouble, how: str) -> None:
    names = fill(cluster, 2)
    with watching(cluster) as watched:
        wait_for(watched.synced)
        expect_news(cluster, watched, "before")
        cluster.interrupt("pods", how)
        cluster.put("pods", pod("meanwhile"))
        cluster.delete("pods", "default", "web-0")
        wait_for(lambda: watched.sink.names() == (names | {"before", "meanwhile"}) - {"web-0"})
        wait_for(lambda: len(cluster.asked("pods", "watch")) == 2)
        assert watched.status().relists == {}
        assert "sendInitialEvents" not in cluster.asked("pods", "watch")[-1].query


def test_garbage_at_the_same_place_again_and_again_ends_in_a_new_list(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 2)
    with watching(cluster) as watched:
        wait_for(watched.synced)
        cluster.misbehave(say("pods", b"{]\n"), say("pods", b"{]\n"))
        cluster.interrupt("pods", "end")
        wait_for(lambda: watched.status().relists == {"unreadable": 1})
        expect_news(cluster, watched)
        assert watched.sink.names() == names | {"news"}


def test_one_object_that_cannot_be_read_spoils_no_other(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 2)
    cluster.put("pods", pod("strange") | {"status": {"podIPs": 7}})
    with watching(cluster) as watched:
        wait_for(watched.synced)
        assert watched.sink.names() == names
        assert watched.status().events["unreadable"] == 1


def test_events_of_a_kind_that_is_not_known_are_counted(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 1)
    with watching(cluster) as watched:
        wait_for(watched.synced)
        cluster.misbehave(say("pods", b'{"type":"TELEPORTED","object":{}}\n'))
        cluster.interrupt("pods", "end")
        wait_for(lambda: watched.status().events.get("unknown") == 1)
        assert watched.sink.names() == names


def test_events_and_lists_that_are_nested_too_deeply_end_no_watch(cluster: ApiServerDouble) -> None:
    names, deep = fill(cluster, 2), b"[" * 50_000
    cluster.misbehave(say("pods", b'{"type":"ADDED","object":' + deep + b"\n"), say("pods", deep, "list"))
    with watching(cluster) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert watched.status().requests["unreadable"] == 1


def test_half_a_page_is_asked_again(cluster: ApiServerDouble) -> None:
    cluster.streaming_lists = False
    names = fill(cluster, 4)
    cluster.misbehave(half_a_page("pods"))
    with watching(cluster) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert watched.status().requests["dropped"] == 1
        assert all(not change.gone for change in watched.sink.changes)


def test_a_stream_that_ends_before_everything_was_told_loses_nothing_that_was_known(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 4)
    with watching(cluster) as watched:
        wait_for(watched.synced)
        one = b'{"type":"ADDED","object":{"metadata":{"name":"web-0","uid":"x"}}}\n'
        cluster.misbehave(refuse("pods", 410), say("pods", one[:30]), say("pods", one[:-5]))
        cluster.interrupt("pods", "end")
        wait_for(lambda: watched.status().requests.get("dropped") == 2)
        expect_news(cluster, watched)
        assert watched.sink.names() == names | {"news"}
        assert all(not change.gone for change in watched.sink.changes)


def test_streams_that_never_tell_all_give_way_to_pages(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 4)
    cluster.misbehave(*(say("pods", b"\n") for _ in range(4)))
    with watching(cluster) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert len(cluster.asked("pods", "list")) == 1


def test_a_streaming_list_that_is_refused_within_its_stream_gives_way_to_pages(cluster: ApiServerDouble) -> None:
    """So Kubernetes 1.34 and later with an etcd that is too old: the status is 200."""
    names = fill(cluster, 4)
    refusal = b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"RequestWatchProgress is disabled"}}\n'
    cluster.misbehave(*(say("pods", refusal) for _ in range(4)))
    with watching(cluster) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert len(cluster.asked("pods", "list")) == 1
        assert watched.status().requests["server_error"] == 4


def test_a_silent_stream_counts_as_dead(cluster: ApiServerDouble) -> None:
    fill(cluster, 1)
    with watching(cluster, pace=replace(QUICK, silence=0.4)) as watched:
        wait_for(watched.synced)
        cluster.misbehave(silent_watch("pods"))
        cluster.interrupt("pods", "end")
        wait_for(lambda: watched.status().requests.get("silent"))
        expect_news(cluster, watched)
        assert watched.status().relists == {}


def test_a_stream_that_told_everything_may_be_silent_for_long(cluster: ApiServerDouble) -> None:
    """Silence is a bad sign only while things are being told."""
    fill(cluster, 1)
    with watching(cluster, pace=IMPATIENT) as watched:
        wait_for(watched.synced)
        asked = len(cluster.asked("pods"))
        time.sleep(3 * IMPATIENT.list_silence)
        expect_news(cluster, watched)
        assert len(cluster.asked("pods")) == asked


def test_a_stream_that_stops_in_the_middle_of_telling_counts_as_dead(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 2)
    cluster.misbehave(silent_watch("pods"))
    with watching(cluster, pace=IMPATIENT) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert watched.status().requests["silent"] >= 1


def test_a_server_that_takes_the_request_and_says_nothing_is_asked_again(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 2)
    cluster.misbehave(hang("pods", "watch"), hang("pods", "list"))
    with watching(cluster, pace=IMPATIENT) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert watched.status().requests["silent"] >= 2


def test_retry_after_is_waited_for(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 2)
    cluster.misbehave(refuse("pods", 429, "TooManyRequests", **{"Retry-After": "1"}))
    began = time.monotonic()
    with watching(cluster) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert time.monotonic() - began >= 1.0
        assert watched.status().requests["busy"] == 1


def test_failures_in_a_row_are_waited_out_and_counted(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 2)
    cluster.misbehave(refuse("pods", 500, times=3), refuse("pods", 503, times=2))
    with watching(cluster) as watched:
        wait_for(lambda: watched.sink.names() == names)
        assert watched.status().requests["server_error"] == 5
        assert watched.status().waits == 5


def test_what_rbac_forbids_is_told_with_its_remedy_and_the_rest_goes_on(cluster: ApiServerDouble) -> None:
    names = fill(cluster, 2)
    cluster.forbidden = {("watch", "endpointslices"), ("list", "endpointslices")}
    with watching(cluster, WatchOptions("node-1", "services")) as watched:
        wait_for(lambda: watched.status("endpointslices").state is WatchState.REFUSED)
        wait_for(lambda: watched.sink.names() == names and watched.synced("services") and watched.synced("nodes"))
        refused = watched.status("endpointslices")
        assert "cannot watch resource" in refused.cause
        assert "ClusterRole" in refused.remedy
        cluster.forbidden = set()
        wait_for(lambda: watched.synced("endpointslices"))
        assert watched.status("endpointslices").cause == ""


def test_a_server_that_was_down_is_found_when_it_comes_back(cluster: ApiServerDouble) -> None:
    """Pods that were known stay known meanwhile."""
    names = fill(cluster, 2)
    with watching(cluster) as watched:
        wait_for(watched.synced)
        cluster.misbehave(refuse("pods", 503, times=1000))
        cluster.interrupt("pods", "cut")
        wait_for(lambda: watched.status().waits > 2)
        assert watched.sink.names() == names
        assert watched.status().state is WatchState.RETRYING
        cluster.faults.clear()
        expect_news(cluster, watched)


def test_streams_that_break_again_and_again_leave_no_descriptor_behind(cluster: ApiServerDouble) -> None:
    fill(cluster, 1)
    with watching(cluster, pace=replace(QUICK, scale=0.002)) as watched:
        wait_for(watched.synced)
        counts = []
        for number in range(40):
            wait_for(lambda: cluster.asked("pods", "watch")[-1].status == 200)
            before = len(cluster.asked("pods", "watch"))
            cluster.interrupt("pods", ("cut", "end", "garbage", "410")[number % 4])
            wait_for(lambda known=before: len(cluster.asked("pods", "watch")) > known)
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
        expect_news(cluster, watched)
    assert max(counts[20:]) <= max(counts[:20]) + 4  # both ends of a connection or two that are just closing
