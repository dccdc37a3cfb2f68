"""Connections with rewritten addresses: each view leads to the other end, at the right time only."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest

from collector.address_translation import CREATED, DESTROYED, EXISTING, SCHEMA, TABLE_READ
from collector.batch import Batch, BatchKind
from collector.cluster_facts import FactChange, Pod, Service, ServicePort
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import build_identities
from collector.enrich.names import NameTable
from collector.enrich.translations import Translations, view_keys
from enrich.batches import OTHER_POD_PATH, OTHER_UID, POD_PATH, SECOND, UID, cgroups, tcp, udp

HOST, POD_NETNS, OTHER_NETNS = 4026531840, 4026532001, 4026532002
CLIENT, SERVICE, BACKEND, OTHER_BACKEND = "10.1.0.5|40000", "10.96.0.1|80", "10.2.0.7|8080", "10.2.0.8|8080"
POD, OTHER_POD = 50, 51


def packed(address: str) -> bytes:
    plain = ipaddress.ip_address(address)
    return plain.packed if plain.version == 6 else bytes(10) + b"\xff\xff" + plain.packed


def translation(*tuples: str, event: int = CREATED, at: int = SECOND, since: int = 0, transport: int = 6) -> dict[str, Any]:
    names = ("original_source", "original_destination", "reply_source", "reply_destination")
    row: dict[str, Any] = {"event": event, "observed_at": at, "since": since, "transport": transport, "netns": HOST}
    for name, text in zip(names, tuples, strict=True):
        address, _, port = text.partition("|")
        row |= {name: packed(address), f"{name}_port": int(port)}
    return row


def dnat(backend: str = BACKEND, **more: Any) -> dict[str, Any]:
    return translation(CLIENT, SERVICE, backend, CLIENT, **more)


def news(*rows: dict[str, Any]) -> Batch:
    filled = np.zeros(len(rows), SCHEMA.dtype)
    for index, row in enumerate(rows):
        for name, value in row.items():
            filled[name][index] = value
    return Batch(SCHEMA, BatchKind.EVENTS, filled)


def table_read(since: int, at: int) -> dict[str, Any]:
    return {"event": TABLE_READ, "since": since, "observed_at": at, "netns": HOST}


def other_end(
    table: Translations, own: str, remote: str, opened_at: int = SECOND, netns: int = POD_NETNS, loopback: bool = False
) -> str:
    """own -> remote as the other end's socket sees it; '' for no answer."""
    columns: list[Any] = []
    for text in (own, remote):
        address, _, port = text.partition("|")
        columns += [np.frombuffer(packed(address), np.uint8).reshape(1, 16), np.array([int(port)], np.uint16)]
    keys = view_keys(np.array([6], np.uint8), *columns)
    at = np.array([opened_at], np.uint64)
    ends = table.find(keys, np.array([netns]), np.array([loopback]), at, at)
    if ends is None:
        return ""
    text = [str(ipaddress.IPv6Address(octets[0].tobytes()).ipv4_mapped) for octets in (ends.own, ends.remote)]
    return f"{text[0]}|{ends.own_port[0]} -> {text[1]}|{ends.remote_port[0]}"


@pytest.fixture
def table() -> Translations:
    return Translations()


def test_each_view_leads_to_the_other(table: Translations) -> None:
    table.learn(news(dnat()))
    assert other_end(table, CLIENT, SERVICE) == f"{BACKEND} -> {CLIENT}"
    assert other_end(table, BACKEND, CLIENT) == f"{CLIENT} -> {SERVICE}"
    assert other_end(table, CLIENT, BACKEND) == ""
    assert len(table) == 1


def test_a_masqueraded_client_is_found_behind_the_nodes_address(table: Translations) -> None:
    table.learn(news(translation("192.0.2.9|5000", "198.51.100.1|30080", BACKEND, "10.2.0.1|6000")))
    assert other_end(table, BACKEND, "10.2.0.1|6000") == "192.0.2.9|5000 -> 198.51.100.1|30080"
    assert other_end(table, "192.0.2.9|5000", "198.51.100.1|30080") == f"{BACKEND} -> 10.2.0.1|6000"


def test_a_tuple_used_again_never_names_the_earlier_or_later_one(table: Translations) -> None:
    table.learn(news(dnat()))
    table.learn(news(dnat(event=DESTROYED, at=5 * SECOND), dnat(OTHER_BACKEND, at=5 * SECOND, since=4 * SECOND)))
    assert other_end(table, CLIENT, SERVICE, opened_at=SECOND) == ""
    assert other_end(table, CLIENT, SERVICE, opened_at=5 * SECOND) == f"{OTHER_BACKEND} -> {CLIENT}"


def test_an_ended_one_is_known_for_late_rows_but_not_for_new_connections(table: Translations) -> None:
    table.learn(news(dnat()))
    table.learn(news(dnat(event=DESTROYED, at=5 * SECOND)))
    assert other_end(table, CLIENT, SERVICE, opened_at=2 * SECOND) != ""
    assert other_end(table, CLIENT, SERVICE, opened_at=6 * SECOND) == ""
    table.learn(news(translation("10.1.0.9|1", SERVICE, BACKEND, "10.1.0.9|1", at=200 * SECOND)))
    assert other_end(table, CLIENT, SERVICE, opened_at=2 * SECOND) == ""
    assert len(table) == 1


def test_one_that_begins_and_ends_between_two_looks_is_known(table: Translations) -> None:
    table.learn(news(dnat(at=5 * SECOND, since=4 * SECOND), dnat(event=DESTROYED, at=5 * SECOND, since=4 * SECOND)))
    assert other_end(table, CLIENT, SERVICE, opened_at=4 * SECOND) == f"{BACKEND} -> {CLIENT}"
    assert other_end(table, CLIENT, SERVICE, opened_at=3 * SECOND) == ""


def test_the_end_of_an_earlier_one_does_not_end_its_successor(table: Translations) -> None:
    table.learn(news(dnat()))
    table.learn(news(dnat(OTHER_BACKEND, at=5 * SECOND)))
    table.learn(news(dnat(event=DESTROYED, at=6 * SECOND)))
    assert other_end(table, CLIENT, SERVICE, opened_at=7 * SECOND) == f"{OTHER_BACKEND} -> {CLIENT}"


def test_a_reading_of_the_whole_table_ends_what_it_does_not_hold(table: Translations) -> None:
    gone = translation("10.1.0.9|1", SERVICE, BACKEND, "10.1.0.9|1", event=EXISTING)
    table.learn(news(dnat(event=EXISTING), gone, table_read(0, SECOND)))
    table.learn(news(dnat(event=EXISTING, at=9 * SECOND, since=8 * SECOND)))
    table.learn(news(table_read(8 * SECOND, 9 * SECOND)))
    assert other_end(table, CLIENT, SERVICE, opened_at=2 * SECOND) != ""
    assert other_end(table, "10.1.0.9|1", SERVICE, opened_at=10 * SECOND) == ""
    assert other_end(table, CLIENT, SERVICE, opened_at=10 * SECOND) != ""


def test_loopback_means_something_in_the_translating_namespace_only(table: Translations) -> None:
    table.learn(news(translation("127.0.0.1|5000", "127.0.0.1|30080", BACKEND, "10.2.0.1|5000")))
    assert other_end(table, "127.0.0.1|5000", "127.0.0.1|30080", loopback=True) == ""
    assert other_end(table, "127.0.0.1|5000", "127.0.0.1|30080", netns=HOST, loopback=True) == f"{BACKEND} -> 10.2.0.1|5000"


def test_the_table_is_bounded_and_counts() -> None:
    table = Translations(maximum=100)
    for number in range(250):
        client = f"10.1.{number}.5|40000"
        event = DESTROYED if number < 200 else CREATED
        table.learn(news(translation(client, SERVICE, BACKEND, client, event=event, at=SECOND + number)))
    assert len(table) <= 100
    assert table.evicted >= 150
    assert other_end(table, "10.1.249.5|40000", SERVICE, opened_at=SECOND) != ""
    assert other_end(table, "10.1.0.5|40000", SERVICE, opened_at=1) == ""


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    generator = np.random.default_rng(7)
    rows = []
    for number in range(400):
        client = f"10.1.0.{generator.integers(1, 20)}|40000"
        backend = (BACKEND, OTHER_BACKEND)[generator.integers(2)]
        event = (CREATED, CREATED, DESTROYED)[generator.integers(3)]
        rows.append(translation(client, SERVICE, backend, client, event=event, at=SECOND + number))
    for start in range(0, 400, 40):
        together, apart = Translations(), Translations()
        together.learn(news(*rows[start : start + 40]))
        for row in rows[start : start + 40]:
            apart.learn(news(row))
        for last in range(1, 20):
            client = f"10.1.0.{last}|40000"
            begun = [row for row in rows[start : start + 40] if row["original_source"] == packed(f"10.1.0.{last}")]
            if begun and begun[-1]["event"] == CREATED:
                assert other_end(together, client, SERVICE, 10 * SECOND) == other_end(apart, client, SERVICE, 10 * SECOND) != ""


def flow(own: str, remote: str, netns: int, cgroup: int, role: str, **more: Any) -> dict[str, Any]:
    (here, port), (there, remote_port) = own.split("|"), remote.split("|")
    return {
        "local_address": here, "local_port": int(port), "remote_address": there, "remote_port": int(remote_port), "netns": netns,
        "cgroup": cgroup, "observed_at": SECOND, "opened_at": SECOND, "event": "open", "role": role,
    } | more  # fmt: skip


class Node:
    def __init__(self) -> None:
        self.identities = build_identities()
        self.translations = Translations()
        self.names = NameTable()
        self.enrichers = build_enrichers(self.identities, self.names, translations=self.translations)
        paths = ((POD, POD_PATH), (OTHER_POD, OTHER_POD_PATH))
        self.identities.observe(cgroups(*({"event": "created", "cgroup": cgroup, "path": path} for cgroup, path in paths)))

    def peers(self, batch: Batch) -> list[str]:
        for enricher in self.enrichers:
            enricher.enrich(batch)
        return [self.identities.workload(number).name for number in batch["peer"].tolist()]


def both_ends() -> list[dict[str, Any]]:
    return [flow(CLIENT, SERVICE, POD_NETNS, POD, "client"), flow(BACKEND, CLIENT, OTHER_NETNS, OTHER_POD, "server")]


def test_both_ends_of_a_translated_connection_know_each_other() -> None:
    node = Node()
    assert node.peers(tcp(*both_ends())) == ["private", "private"]
    node.translations.learn(news(dnat()))
    batch = tcp(*both_ends())
    assert node.peers(batch) == [OTHER_UID, UID]
    assert node.enrichers[1].translated == 2
    assert batch["remote_port"].tolist() == [80, 40000]  # the row still says what its socket sees


def test_a_pod_of_another_node_is_named_behind_the_service() -> None:
    node = Node()
    node.identities.cluster.learn(
        [
            FactChange(Pod("uid-7", "cart-x2x8q", "shop", addresses=(packed("10.2.0.7"),))),
            FactChange(
                Service("uid-s", "cart", "shop", cluster_addresses=(packed("10.96.0.1"),), ports=(ServicePort("tcp", 80),))
            ),
        ]
    )
    assert node.peers(tcp(both_ends()[0])) == ["cart"]
    node.translations.learn(news(dnat()))
    batch = tcp(both_ends()[0])
    node.peers(batch)
    assert node.identities.workload(int(batch["peer"][0])).pod_uid == "uid-7"
    node.translations.learn(news(dnat("10.2.0.99|8080", at=2 * SECOND)))
    assert node.peers(tcp(both_ends()[0] | {"opened_at": 2 * SECOND})) == ["cart"]  # nobody is known behind it


def test_a_service_with_nobody_known_behind_it_keeps_its_name() -> None:
    node = Node()
    node.names.learn(packed("10.96.0.1"), "cart.shop.svc.cluster.local", SECOND // 2, 600)
    node.translations.learn(news(translation(CLIENT, SERVICE, "203.0.113.9|8080", CLIENT)))
    assert node.peers(tcp(both_ends()[0])) == ["cart.shop.svc.cluster.local"]


def test_a_client_behind_a_router_is_classed_by_its_own_address() -> None:
    node = Node()
    node.translations.learn(news(translation("203.0.113.9|5000", "198.51.100.1|30080", BACKEND, "10.2.0.1|6000")))
    assert node.peers(tcp(flow(BACKEND, "10.2.0.1|6000", OTHER_NETNS, OTHER_POD, "server"))) != ["private"]


def test_one_protocols_translation_says_nothing_about_another() -> None:
    node = Node()
    node.translations.learn(news(dnat(transport=17)))
    assert node.peers(tcp(*both_ends())) == ["private", "private"]
    assert node.peers(udp(*both_ends())) == [OTHER_UID, UID]


def test_a_long_lived_udp_flow_follows_its_newest_translation() -> None:
    node = Node()
    node.translations.learn(news(dnat(OTHER_BACKEND, transport=17, at=9 * SECOND, since=8 * SECOND)))
    server = flow(OTHER_BACKEND, CLIENT, OTHER_NETNS, OTHER_POD, "server", observed_at=10 * SECOND, opened_at=9 * SECOND)
    client = flow(CLIENT, SERVICE, POD_NETNS, POD, "client", observed_at=10 * SECOND, opened_at=SECOND)
    assert node.peers(udp(server, client))[1] == OTHER_UID
