"""Who held an address when the packet was seen: proven, or unknown, never a guess."""

from __future__ import annotations

from typing import Any

import pytest

from collector.cluster_facts import ContainerFact, FactChange, FactSource
from collector.enrich import cluster_peers
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import Identities
from collector.enrich.names import NameTable
from collector.workload import WorkloadKind
from enrich.batches import ONE, SECOND, TWO, address, cgroups, lookups, tcp, udp
from enrich.cluster_samples import endpoints, known, learnt, node, pod, service

A, B = "aaaaaaaa-5f60-4718-8293-a4b5c6d7e8f9", "bbbbbbbb-5f60-4718-8293-a4b5c6d7e8f9"
PRIVATE = ("network", "private")


class Cluster:
    """What is known, and rows that ask."""

    def __init__(self, *facts: FactChange) -> None:
        self.identities: Identities = known(*facts)
        self.names = NameTable()
        self.local, self.peer = build_enrichers(self.identities, self.names)

    def learn(self, *facts: FactChange) -> None:
        self.identities.cluster.learn(facts)

    def numbers(self, *rows: dict[str, Any], over_udp: bool = False) -> list[int]:
        batch = (udp if over_udp else tcp)(*rows)
        self.local.enrich(batch)
        self.peer.enrich(batch)
        found: list[int] = batch["peer"].tolist()
        return found

    def read(self, number: int) -> tuple[str, str]:
        found = self.identities.workload(number)
        return found.kind.value, found.name

    def who(self, remote: str, at: float, port: int = 80, **more: Any) -> tuple[str, str]:
        """The peer of a connection to that address and port that was opened `at` seconds after boot."""
        return self.read(self.numbers(to(remote, at, port, **more))[0])

    def pod_cgroup(self, event: str, uid: str, at: float, container: str = ONE) -> None:
        path = f"/kubepods/burstable/pod{uid}/{container}"
        row = {"event": event, "cgroup": int(uid[:2], 16), "path": path, "observed_at": int(at * SECOND)}
        self.identities.observe(cgroups(row))


def to(remote: str, at: float, port: int = 80, **more: Any) -> dict[str, Any]:
    moment = int(at * SECOND)
    standard = {"local_address": "10.0.0.99", "local_port": 40000, "remote_address": remote, "remote_port": port, "netns": 7,
                "event": "open", "role": "client", "opened_at": moment, "observed_at": moment + 1}  # fmt: skip
    return standard | more


def pod_named(uid: str) -> tuple[str, str]:
    return "pod", f"pod-{uid}"


def test_pod_is_known_by_each_of_its_addresses() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5", "fd00::5")))
    assert cluster.who("10.0.0.5", 9) == cluster.who("fd00::5", 9) == pod_named(A)
    assert cluster.who("10.0.0.6", 9) == PRIVATE


def test_several_connections_to_one_pod_have_one_number() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5")))
    numbers = cluster.numbers(*(to("10.0.0.5", at, port) for at in (1, 2) for port in (80, 443)))
    assert len(set(numbers)) == 1


def test_address_given_again_belongs_to_each_holder_in_its_time() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5", started=3), 4), learnt(pod(A), 10, gone=True))
    cluster.learn(learnt(pod(B, "10.0.0.5", started=11), 12.5))
    rows = [to("10.0.0.5", at) for at in (2, 5, 9.999, 10.5, 11.5, 13)]
    assert [cluster.read(number) for number in cluster.numbers(*rows)] == [
        PRIVATE,  # before anybody was known to have it
        pod_named(A),
        pod_named(A),
        PRIVATE,  # nobody
        pod_named(B),  # nobody else had it since B began
        pod_named(B),
    ]


def test_what_lies_between_a_new_pods_start_and_the_late_news_of_the_old_ones_end_is_unknown() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5", started=3), 4))
    cluster.learn(learnt(pod(B, "10.0.0.5", started=11), 12.5), learnt(pod(A), 14, gone=True))
    whose = [cluster.read(number) for number in cluster.numbers(*(to("10.0.0.5", at) for at in (10.9, 11.1, 12.4, 12.6, 13)))]
    assert whose == [pod_named(A), PRIVATE, PRIVATE, pod_named(B), pod_named(B)]


def test_order_in_which_a_list_tells_of_pods_does_not_matter() -> None:
    cluster = Cluster(learnt(pod(B, "10.0.0.5", started=11)), learnt(pod(A, "10.0.0.5", started=3)))
    assert [cluster.who("10.0.0.5", at) for at in (5, 12)] == [pod_named(A), pod_named(B)]


def test_two_pods_that_claim_an_address_and_say_no_time_are_no_answer() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5")), learnt(pod(B, "10.0.0.5")))
    assert cluster.who("10.0.0.5", 9) == PRIVATE
    cluster.learn(learnt(pod(A), 10, gone=True))
    assert [cluster.who("10.0.0.5", at) for at in (9, 11)] == [PRIVATE, pod_named(B)]


def test_pod_that_has_finished_holds_nothing() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5", started=3, finished=True)), learnt(pod(B, "10.0.0.6", started=3), 4))
    cluster.learn(learnt(pod(B, "10.0.0.6", started=3, finished=True), 8))
    assert cluster.who("10.0.0.5", 9) == PRIVATE
    assert [cluster.who("10.0.0.6", at) for at in (7, 9)] == [pod_named(B), PRIVATE]


def test_last_container_that_goes_from_this_node_frees_the_address_at_once() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5", started=3), 4))
    cluster.pod_cgroup("created", A, 4)
    cluster.pod_cgroup("removed", A, 8)
    assert [cluster.who("10.0.0.5", at) for at in (7.9, 8.1)] == [pod_named(A), PRIVATE]
    cluster.learn(learnt(pod(B, "10.0.0.5", started=8), 9), learnt(pod(A), 12, gone=True))
    assert [cluster.who("10.0.0.5", at) for at in (7.9, 8.5, 9.5)] == [pod_named(A), pod_named(B), pod_named(B)]


def test_container_that_starts_again_gets_the_pod_its_address_back() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5", started=3), 4))
    cluster.pod_cgroup("created", A, 4)
    cluster.pod_cgroup("removed", A, 8)
    cluster.identities.observe(
        cgroups({"event": "created", "cgroup": 1000, "path": f"/kubepods/burstable/pod{A}/{TWO}", "observed_at": 10 * SECOND})
    )
    assert [cluster.who("10.0.0.5", at) for at in (7, 9, 11)] == [pod_named(A), PRIVATE, pod_named(A)]


def test_pod_whose_facts_come_after_its_end_had_its_address_only_while_it_was_there() -> None:
    cluster = Cluster(learnt(pod(B, "10.0.0.6")))
    cluster.pod_cgroup("created", A, 4)
    cluster.pod_cgroup("removed", A, 5)
    cluster.learn(learnt(pod(A, "10.0.0.5", started=3), 6))
    assert [cluster.who("10.0.0.5", at) for at in (4.5, 5.5, 7)] == [pod_named(A), PRIVATE, PRIVATE]


def test_rows_recorded_before_the_facts_get_the_name_of_who_held_the_address_then() -> None:
    cluster = Cluster(learnt(node("node-1", "192.168.0.1")))
    early, alone = cluster.numbers(to("10.0.0.5", 5), to("10.0.0.7", 5))
    (later,) = cluster.numbers(to("10.0.0.5", 6))
    assert early == later
    assert cluster.read(early) == PRIVATE
    cluster.learn(learnt(pod(A, "10.0.0.5", started=4), 7), learnt(pod(B, "10.0.0.7", started=6), 8))
    assert cluster.read(early) == pod_named(A)
    assert cluster.read(alone) == PRIVATE, "that pod began later"


def test_waiting_for_news_is_bounded_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_peers, "WAITING", 2)
    cluster = Cluster(learnt(node("node-1", "192.168.0.1")))
    first, second = cluster.numbers(to("10.0.0.5", 5), to("10.0.0.6", 5))
    (plain,) = cluster.numbers(to("10.0.0.8", 5))
    assert len({first, second, plain}) == 3, "there is no room to wait for one more"
    assert cluster.numbers(to("10.0.0.5", 70)) == [plain], "a minute later nobody waits"
    assert cluster.numbers(to("10.0.0.9", 80)) != [plain], "there is room again"
    assert cluster.identities.is_gone_peer(first), "its series may be folded"
    assert not cluster.identities.is_gone_peer(plain)
    cluster.learn(learnt(pod(A, "10.0.0.5", started=4), 90))
    assert cluster.read(first) == PRIVATE, "the news came too late"
    assert cluster.who("10.0.0.5", 91) == pod_named(A)


def test_containers_without_pods_are_no_reason_to_wait() -> None:
    cluster = Cluster(learnt(ContainerFact(ONE, "web"), source=FactSource.RUNTIME))
    assert len(set(cluster.numbers(to("10.0.0.5", 5), to("10.0.0.6", 5)))) == 1


def test_host_network_pods_are_never_told_by_an_address() -> None:
    cluster = Cluster(learnt(pod(A, "192.168.0.1", host_network=True)), learnt(node("node-1", "192.168.0.1")))
    assert cluster.who("192.168.0.1", 9) == ("node", "node-1")


def test_cluster_address_is_the_service_and_an_endpoint_is_the_pod() -> None:
    cluster = Cluster(
        learnt(service("cart", "10.96.0.1")), learnt(pod(A, "10.0.0.5")), learnt(endpoints("cart", ("10.0.0.5", A)))
    )
    assert cluster.who("10.96.0.1", 9) == ("service", "cart")
    assert cluster.who("10.0.0.5", 9, port=5432) == pod_named(A)
    assert cluster.identities.workload(cluster.numbers(to("10.96.0.1", 9))[0]).namespace == "shop"


def test_address_that_services_share_is_theirs_by_port_or_nobodys() -> None:
    shared = "203.0.113.7"
    cluster = Cluster(
        learnt(service("cart", external=(shared,))), learnt(service("shop", external=(shared,), port=81)),
        learnt(service("blog", external=(shared,), port=81)),
    )  # fmt: skip
    assert cluster.who(shared, 9, port=80) == ("service", "cart")
    assert cluster.who(shared, 9, port=81) == ("address", shared)
    assert cluster.who(shared, 9, port=82) == ("address", shared)
    cluster.learn(learnt(service("blog", external=(shared,), port=81), 20, gone=True))
    assert [cluster.who(shared, at, port=81) for at in (9, 21)] == [("address", shared), ("service", "shop")]


def test_port_that_the_peer_chose_itself_names_no_service() -> None:
    cluster = Cluster(learnt(service("cart", "10.96.0.1", port=40001)), learnt(node("node-1", "192.168.0.1")))
    cluster.learn(learnt(service("web", "10.96.0.2", node_port=30080)))
    assert cluster.who("10.96.0.1", 9, port=40001, role="server") == PRIVATE
    assert cluster.who("192.168.0.1", 9, port=30080, role="server") == ("node", "node-1")


def test_node_port_is_the_service_at_every_node() -> None:
    cluster = Cluster(learnt(node("node-1", "192.168.0.1")), learnt(node("node-2", "192.168.0.2")))
    cluster.learn(learnt(service("web", "10.96.0.2", node_port=30080)))
    assert cluster.who("192.168.0.1", 9, port=30080) == cluster.who("192.168.0.2", 9, port=30080) == ("service", "web")
    assert cluster.who("192.168.0.2", 9, port=22) == ("node", "node-2")
    cluster.learn(learnt(service("web"), 10, gone=True))
    assert cluster.who("192.168.0.1", 11, port=30080) == ("node", "node-1")


def test_endpoint_that_is_no_pod_is_its_service_at_its_port() -> None:
    cluster = Cluster(learnt(service("db")), learnt(endpoints("db", ("192.168.9.9", ""))))
    assert cluster.who("192.168.9.9", 9, port=5432) == ("service", "db")
    assert cluster.who("192.168.9.9", 9, port=22) == PRIVATE
    other = endpoints("other", ("192.168.9.9", ""))
    cluster.learn(learnt(other))
    assert cluster.who("192.168.9.9", 9, port=5432) == ("address", "192.168.9.9")


def test_protocols_have_ports_of_their_own() -> None:
    cluster = Cluster(learnt(service("cart", "10.96.0.1", external=("203.0.113.7",))), learnt(node("n", "203.0.113.7")))
    assert cluster.who("203.0.113.7", 9) == ("service", "cart")
    assert cluster.read(cluster.numbers(to("203.0.113.7", 9), over_udp=True)[0]) == ("node", "n")


def test_slices_name_pods_of_which_nothing_else_is_told() -> None:
    cluster = Cluster(learnt(endpoints("db", ("10.0.0.5", A), ("10.0.0.6", B))))
    (number,) = cluster.numbers(to("10.0.0.5", 9))
    assert cluster.read(number) == ("pod", "db"), "for whom it works, as far as is known"
    assert cluster.identities.workload(number).pod_name == f"pod-{A}"
    cluster.learn(learnt(endpoints("all", ("10.0.0.5", A))))
    assert cluster.read(number) == ("pod", "all"), "the same name whichever slice came first"
    cluster.learn(learnt(endpoints("all"), 10), learnt(endpoints("db", ("10.0.0.6", B)), 10))
    assert [cluster.who("10.0.0.5", at)[0] for at in (9, 11)] == ["pod", "network"]
    cluster.learn(learnt(pod(B, deployment="store")))
    assert cluster.who("10.0.0.6", 11) == ("pod", "store"), "metadata without addresses"


def test_name_that_stands_for_an_external_service_is_that_service() -> None:
    cluster = Cluster(learnt(service("mail", kind="ExternalName", external_name="smtp.example.org.")))
    questions = ("mail.shop.svc.cluster.local.", "smtp.example.org.")
    for number, question in enumerate(questions):
        cluster.names.observe(lookups((SECOND, question, [(f"198.51.100.{number}", 60)])))
    assert cluster.who("198.51.100.0", 2) == ("service", "mail")
    assert cluster.who("198.51.100.1", 2) == ("name", "smtp.example.org")


def test_name_that_led_to_an_address_does_not_name_the_pod_that_has_it_now() -> None:
    cluster = Cluster(learnt(pod(A, "10.0.0.5", started=3), 4), learnt(pod(A), 10, gone=True))
    cluster.names.observe(lookups((5 * SECOND, "web-0.web.shop.svc.cluster.local", [("10.0.0.5", 600)])))
    assert cluster.who("10.0.0.5", 11) == PRIVATE


def test_many_holders_of_one_address_are_bounded() -> None:
    cluster = Cluster()
    for number in range(50):
        fact = pod(f"{number:08x}-5f60-4718-8293-a4b5c6d7e8f9", "10.0.0.5", started=number * 10 + 1)
        cluster.learn(learnt(fact, number * 10 + 2), learnt(fact, number * 10 + 9, gone=True))
    assert len(cluster.identities.cluster.holders.history(address("10.0.0.5"))) == 8
    assert cluster.who("10.0.0.5", 105) == PRIVATE, "who had it then is forgotten"
    assert cluster.who("10.0.0.5", 495)[1].startswith("pod-00000031")


@pytest.mark.parametrize("kind", [WorkloadKind.SERVICE, WorkloadKind.NODE, WorkloadKind.ADDRESS])
def test_what_is_not_on_this_node_never_counts_as_gone(kind: WorkloadKind) -> None:
    identities = known()
    assert identities.intern(kind, "x") in identities.living()
