"""Facts early, late, twice and gone: what workloads are called, and how much is kept."""

from __future__ import annotations

import pytest

from collector.cluster_facts import FactSource
from collector.enrich import pod_table
from collector.enrich.identity import Identities, build_identities
from collector.workload import Workload
from enrich.batches import ONE, POD_PATH, TWO, UID, cgroups
from enrich.cluster_samples import container, known, learnt, pod


def see(identities: Identities, cgroup: int = 50, path: str = POD_PATH) -> int:
    identities.observe(cgroups({"event": "created", "cgroup": cgroup, "path": path, "observed_at": 1}))
    return identities.resolve(cgroup, 0, 0)


def named(identities: Identities, number: int) -> tuple[str, str, str]:
    found: Workload = identities.workload(number)
    return found.name, found.pod_name, found.container_name


def test_facts_that_come_late_name_what_was_recorded_before() -> None:
    identities = known()
    number = see(identities)
    assert named(identities, number) == (UID, "", "")
    identities.cluster.learn([learnt(pod(UID, deployment="cart"))])
    assert named(identities, number) == ("cart", f"pod-{UID}", "")
    identities.cluster.learn([learnt(pod(UID, deployment="cart", containers=(container("server", ONE),)))])
    assert named(identities, number) == ("cart", f"pod-{UID}", "server")
    assert see(identities) == number, "the number stays whatever it is called"


def test_names_outlive_the_pod() -> None:
    fact = pod(UID, "10.0.0.5", deployment="cart", containers=(container("server", ONE),))
    identities = known(learnt(fact, 5), learnt(fact, 6, gone=True))
    assert not identities.cluster.pods.lives(UID)
    assert named(identities, see(identities)) == ("cart", f"pod-{UID}", "server"), "its cgroup was seen after the news of its end"


def test_restarted_container_is_another_one_of_the_same_name() -> None:
    before, after = (pod(UID, deployment="cart", containers=(container("server", one),)) for one in (ONE, TWO))
    identities = known(learnt(before))
    first = see(identities)
    identities.cluster.learn([learnt(after, 9)])
    second = see(identities, 51, POD_PATH.replace(ONE, TWO))
    assert first != second
    assert named(identities, first) == named(identities, second) == ("cart", f"pod-{UID}", "server")


def test_runtime_names_a_pod_until_the_api_server_does() -> None:
    by_runtime = pod(UID, containers=(container("server", ONE),), node="")
    identities = known(learnt(by_runtime, source=FactSource.RUNTIME))
    number = see(identities)
    assert named(identities, number) == (f"pod-{UID}", f"pod-{UID}", "server")
    identities.cluster.learn([learnt(pod(UID, deployment="cart", containers=(container("app", ONE),)))])
    identities.cluster.learn([learnt(by_runtime, 5, source=FactSource.RUNTIME)])
    identities.cluster.learn([learnt(by_runtime, 6, gone=True, source=FactSource.RUNTIME)])
    assert named(identities, number) == ("cart", f"pod-{UID}", "app")
    assert identities.cluster.pods.lives(UID)


def test_equal_templates_are_kept_once() -> None:
    identities = known(*(learnt(pod(f"uid-{number}", deployment="cart", labels={"a": "b"})) for number in range(3)))
    kept = [identities.cluster.pods.get(f"uid-{number}") for number in range(3)]
    assert len({id(one.template) for one in kept if one}) == 1


def test_pods_for_which_there_is_no_room_are_counted() -> None:
    identities = build_identities(maximum_objects=2)
    identities.cluster.learn([learnt(pod(f"uid-{number}", f"10.0.0.{number}")) for number in range(1, 5)])
    assert len(identities.cluster.pods) == 2
    assert identities.counters()["pods_refused"] == 2


def test_pods_that_are_gone_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_table, "KEPT_GONE", 2)
    facts = [pod(f"uid-{number}", mirror_uid=f"static-{number}") for number in range(4)]
    identities = known(*(learnt(fact) for fact in facts), *(learnt(fact, 5, gone=True) for fact in facts))
    remembered = [identities.cluster.pods.get(f"static-{number}") is not None for number in range(4)]
    assert remembered == [False, False, True, True]
