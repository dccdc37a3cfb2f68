"""A watch over a well-behaved API server: what is asked, what is learnt, how little is kept."""

from __future__ import annotations

import time

import pytest
from api_server_double import ApiServerDouble
from cluster_objects import endpoint, endpoint_slice, job, node, owner, pod, replica_set, service, uid_of
from cluster_sink import watching
from otlp_receiver import wait_for

from collector.cluster_facts import ClusterNode, EndpointSlice, Fact, Owner, Pod, Service
from collector.cluster_status import WatchState
from collector.kubernetes.cluster_watch import WatchOptions


def test_pods_of_this_node_are_learnt_and_no_others(cluster: ApiServerDouble) -> None:
    cluster.put("pods", pod("ours", node="node-1"))
    cluster.put("pods", pod("theirs", node="node-2"))
    with watching(cluster) as watched:
        wait_for(watched.synced)
        assert watched.sink.names() == {"ours"}
        assert {one.query["fieldSelector"] for one in cluster.asked("pods")} == {"spec.nodeName=node-1"}
    assert {one.resource for one in cluster.requests} == {"pods"}


def test_changes_arrive_in_order_while_the_stream_stays_open(cluster: ApiServerDouble) -> None:
    with watching(cluster) as watched:
        wait_for(watched.synced)
        cluster.put("pods", pod("short", addresses=()))
        cluster.put("pods", pod("short", addresses=("10.1.0.7",)))
        cluster.delete("pods", "default", "short")
        wait_for(lambda: len(watched.sink.changes) == 3)
        told = [(change.fact.addresses, change.gone) for change in watched.sink.changes if isinstance(change.fact, Pod)]
        address = bytes(10) + b"\xff\xff\x0a\x01\x00\x07"
        assert told == [((), False), ((address,), False), ((address,), True)]
    assert len(cluster.asked("pods")) == 1


def test_a_pod_that_gets_bound_to_this_node_arrives_then(cluster: ApiServerDouble) -> None:
    cluster.put("pods", pod("pending", node="", addresses=()))
    with watching(cluster) as watched:
        wait_for(watched.synced)
        assert watched.sink.names() == set()
        cluster.put("pods", pod("pending", node="node-1", addresses=()))
        wait_for(lambda: watched.sink.names() == {"pending"})


def test_what_was_there_before_is_known_from_the_first_moment_and_what_comes_later_has_its_time(cluster: ApiServerDouble) -> None:
    cluster.put("pods", pod("old"))
    with watching(cluster) as watched:
        wait_for(watched.synced)
        before = time.time_ns()
        cluster.put("pods", pod("new"))
        wait_for(lambda: watched.sink.named("new"))
        times = {change.fact.name: change.at for change in watched.sink.changes}
        assert times["old"] == 0
        assert before <= times["new"] <= time.time_ns()


def test_updates_that_change_nothing_we_use_go_no_further(cluster: ApiServerDouble) -> None:
    cluster.put("pods", pod("busy"))
    with watching(cluster) as watched:
        wait_for(watched.synced)
        for value in "abc":
            cluster.put("pods", pod("busy", annotations={"heartbeat": value}))
        wait_for(lambda: watched.status().events.get("unchanged") == 3)
        assert len(watched.sink.changes) == 1


def test_services_slices_and_nodes_are_learnt_beside_the_pods(cluster: ApiServerDouble) -> None:
    cluster.put("services", service("web", address="10.96.0.10", ports=(80,)))
    cluster.put("endpointslices", endpoint_slice("web-abc", "web", [endpoint("10.1.1.5", "web-1", node="node-2")]))
    cluster.put("nodes", node("node-2", "192.0.2.2", "2001:db8::2"))
    with watching(cluster, WatchOptions("node-1", "services")) as watched:
        wait_for(lambda: all(watched.synced(name) for name in ("pods", "services", "endpointslices", "nodes")))
        found = {type(fact): fact for fact in watched.sink.now.values()}
    web, behind, other = found[Service], found[EndpointSlice], found[ClusterNode]
    assert isinstance(web, Service) and isinstance(behind, EndpointSlice) and isinstance(other, ClusterNode)
    assert web.cluster_addresses[0][-4:] == bytes([10, 96, 0, 10])
    assert (behind.service, behind.endpoints[0].pod_name, behind.endpoints[0].node) == ("web", "web-1", "node-2")
    assert behind.endpoints[0].pod_uid == uid_of("Pod", "default", "web-1")
    assert [address[:4] for address in other.addresses] == [bytes(4), b"\x20\x01\x0d\xb8"]


def test_all_pods_come_without_a_selector_and_those_of_other_nodes_without_containers(cluster: ApiServerDouble) -> None:
    cluster.put("pods", pod("ours", node="node-1"))
    cluster.put("pods", pod("theirs", node="node-2"))
    with watching(cluster, WatchOptions("node-1", "pods")) as watched:
        wait_for(watched.synced)
        ours, theirs = watched.sink.named("ours"), watched.sink.named("theirs")
    assert isinstance(ours, Pod) and len(ours.containers) == 1
    assert isinstance(theirs, Pod) and theirs.containers == ()
    assert "fieldSelector" not in cluster.asked("pods")[0].query


def test_the_owner_of_a_replica_set_is_asked_once_and_only_its_metadata(cluster: ApiServerDouble) -> None:
    owned_by = owner("ReplicaSet", "web-6d4", uid_of("ReplicaSet", "default", "web-6d4"))
    cluster.put("replicasets", replica_set("web-6d4", "web"))
    for number in range(3):
        cluster.put("pods", pod(f"web-6d4-{number}", owned_by=owned_by))
    with watching(cluster) as watched:
        wait_for(lambda: [len(owners_of(one)) for one in watched.sink.now.values()] == [2, 2, 2])
        cluster.put("pods", pod("web-6d4-4", owned_by=owned_by))
        wait_for(lambda: watched.sink.named("web-6d4-4"))
        assert owners_of(watched.sink.named("web-6d4-4"))[1] == Owner("Deployment", "web", uid_of("Deployment", "web"))
    asked = cluster.asked("replicasets")
    assert [request.verb for request in asked] == ["get"]
    assert "as=PartialObjectMetadata" in asked[0].accept


def kinds_of_owners(fact: Fact | None) -> list[str]:
    return [one.kind for one in owners_of(fact)] if fact else []


def owners_of(fact: Fact | None) -> tuple[Owner, ...]:
    assert isinstance(fact, Pod)
    return fact.owners


def test_a_replica_set_of_the_same_name_but_another_uid_says_nothing(cluster: ApiServerDouble) -> None:
    cluster.put("replicasets", replica_set("web-6d4", "web"))
    cluster.put("pods", pod("web-1", owned_by=owner("ReplicaSet", "web-6d4", "11111111-0000-0000-0000-000000000000")))
    with watching(cluster) as watched:
        wait_for(lambda: cluster.asked("replicasets"))
        wait_for(lambda: watched.status("replicasets").objects == 1)
        assert [one.kind for one in owners_of(watched.sink.named("web-1"))] == ["ReplicaSet"]


def test_a_replica_set_without_an_owner_has_none_whatever_its_name_looks_like(cluster: ApiServerDouble) -> None:
    body = replica_set("web-6d4", "web")
    del body["metadata"]["ownerReferences"]
    cluster.put("replicasets", body)
    owned_by = owner("ReplicaSet", "web-6d4", uid_of("ReplicaSet", "default", "web-6d4"))
    cluster.put("pods", pod("web-1", labels={"pod-template-hash": "6d4"}, owned_by=owned_by))
    with watching(cluster) as watched:
        wait_for(lambda: kinds_of_owners(watched.sink.named("web-1")) == ["ReplicaSet"])
        assert kinds_of_owners(watched.sink.changes[0].fact) == ["ReplicaSet", "Deployment"]


def test_where_replica_sets_may_not_be_read_the_names_form_stands_in(cluster: ApiServerDouble) -> None:
    cluster.forbidden = {("get", "replicasets")}
    cluster.put("pods", pod("web-1", labels={"pod-template-hash": "6d4"}, owned_by=owner("ReplicaSet", "web-6d4")))
    with watching(cluster) as watched:
        wait_for(lambda: watched.status("replicasets").state is WatchState.REFUSED)
        assert [one.name for one in owners_of(watched.sink.named("web-1"))] == ["web-6d4", "web"]
        assert "replicasets" in watched.status("replicasets").remedy


def test_questions_that_nobody_answers_do_not_pile_up(cluster: ApiServerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.kubernetes.owner_lookup.KEPT_QUESTIONS", 3)
    cluster.forbidden = {("get", "jobs")}
    for number in range(8):
        cluster.put(
            "pods", pod(f"job-{number}-x", owned_by=owner("Job", f"job-{number}", uid_of("Job", "default", f"job-{number}")))
        )
    for number in range(8):
        cluster.put("jobs", job(f"job-{number}", "nightly"))
    with watching(cluster) as watched:
        wait_for(lambda: watched.synced() and watched.status("jobs").state is WatchState.REFUSED)
        assert watched.status("jobs").events["over_limit"] == 5
        cluster.forbidden = set()
        wait_for(lambda: sum(kinds_of_owners(one) == ["Job", "CronJob"] for one in list(watched.sink.now.values())) == 3)
        assert watched.status("jobs").objects == 3


def test_more_objects_than_the_limit_are_counted_not_kept(cluster: ApiServerDouble) -> None:
    for number in range(5):
        cluster.put("pods", pod(f"web-{number}"))
    with watching(cluster, WatchOptions("node-1", "off", limit=3)) as watched:
        wait_for(watched.synced)
        assert (watched.status().objects, watched.status().events["over_limit"]) == (3, 2)


def test_one_thread_does_it_all_and_ends_although_its_watches_last_minutes(cluster: ApiServerDouble) -> None:
    cluster.put("pods", pod("web"))
    with watching(cluster, WatchOptions("node-1", "services")) as watched:
        wait_for(lambda: cluster.watching("nodes") and watched.sink.names())
        assert watched.sink.threads == {"kubernetes"}
        began = time.monotonic()
        assert watched.watch.stop()
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("streaming", [True, False])
def test_bookmarks_move_the_place_from_which_a_new_stream_goes_on(cluster: ApiServerDouble, streaming: bool) -> None:
    cluster.streaming_lists = streaming
    with watching(cluster) as watched:
        wait_for(lambda: cluster.watching("pods") and watched.synced())
        cluster.put("services", service("unrelated"))
        cluster.interrupt("pods", "bookmark")
        wait_for(lambda: watched.status().events.get("bookmark", 0) == 1 + streaming)
        reached = cluster.store.version
        cluster.interrupt("pods", "end")
        wait_for(lambda: cluster.asked("pods", "watch")[-1].query.get("resourceVersion") == str(reached))
    assert watched.status().relists == {}
