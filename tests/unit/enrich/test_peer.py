"""The column `peer`: from the other end of the same connection down to the class of network."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.batch import Batch, RowGroups
from collector.decode.request_record import RequestTexts, request_schema
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import Identities, build_identities
from collector.enrich.names import NameTable
from collector.enrich.owner_groups import OwnerEnrichers
from collector.workload import UNKNOWN, WorkloadKind
from enrich.batches import (
    LOOKUP_SCHEMA,
    OTHER_POD_PATH,
    OTHER_UID,
    POD_PATH,
    SECOND,
    UID,
    UNIT_PATH,
    batch_of,
    cgroups,
    lookups,
    schema_of,
    tcp,
    udp,
)

HOST, POD_NETNS, OTHER_NETNS = 4026531840, 4026532001, 4026532002
POD, OTHER_POD, UNIT = 50, 51, 52
REQUEST_SCHEMA = request_schema("socket_data", RequestTexts())
REQUEST_NAMES = REQUEST_SCHEMA.dtype.names or ()


class Node:
    """Identities with two pods and a unit, and the enrichers as the agent builds them."""

    def __init__(self, networks: tuple[tuple[str, ipaddress.IPv4Network], ...] = ()) -> None:
        self.identities: Identities = build_identities()
        self.names = NameTable()
        self.local, self.peer = build_enrichers(self.identities, self.names, networks)
        paths = ((POD, POD_PATH), (OTHER_POD, OTHER_POD_PATH), (UNIT, UNIT_PATH))
        self.identities.observe(cgroups(*({"event": "created", "cgroup": cgroup, "path": path} for cgroup, path in paths)))

    def peers(self, batch: Batch) -> list[str]:
        self.local.enrich(batch)
        self.peer.enrich(batch)
        self.peer.evidence.enrich(batch)
        return [self.identities.workload(number).name for number in batch["peer"].tolist()]


def client(local: str, remote: str, netns: int, cgroup: int, at: int = SECOND, **more: Any) -> dict[str, Any]:
    """`local` and `remote` as address|port."""
    here, there = local.split("|"), remote.split("|")
    row = {
        "local_address": here[0], "local_port": int(here[1]), "remote_address": there[0], "remote_port": int(there[1]),
        "netns": netns, "cgroup": cgroup, "observed_at": at, "opened_at": at, "event": "open", "role": "client",
    }  # fmt: skip
    return row | more


def server(local: str, remote: str, netns: int, cgroup: int, at: int = SECOND, **more: Any) -> dict[str, Any]:
    return client(local, remote, netns, cgroup, at) | {"role": "server"} | more


def listening(local: str, netns: int, cgroup: int, at: int = SECOND, **more: Any) -> dict[str, Any]:
    remote = "::|0" if local.startswith("::") else "0.0.0.0|0"
    return client(local, remote, netns, cgroup, at) | {"role": "listener", "event": "listening"} | more


def test_both_ends_in_one_batch_know_each_other() -> None:
    node = Node()
    batch = tcp(
        client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD), server("10.9.0.1|80", "10.9.0.2|40000", OTHER_NETNS, OTHER_POD)
    )
    assert node.peers(batch) == [OTHER_UID, UID]
    assert node.peer.evidence.rows()["connection"] == 2
    assert batch["peer"].dtype == np.int32


def test_end_that_came_in_an_earlier_batch_is_remembered() -> None:
    node = Node()
    assert node.peers(tcp(client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD))) == ["private"]
    assert node.peers(tcp(server("10.9.0.1|80", "10.9.0.2|40000", OTHER_NETNS, OTHER_POD))) == [UID]
    assert node.peers(tcp(client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD))) == [OTHER_UID]


def test_loopback_of_another_namespace_is_another_connection() -> None:
    node = Node()
    ends = [
        client("127.0.0.1|40000", "127.0.0.1|80", POD_NETNS, POD),
        server("127.0.0.1|80", "127.0.0.1|40000", OTHER_NETNS, OTHER_POD),
    ]
    assert node.peers(tcp(*ends)) == ["loopback", "loopback"]
    assert node.peers(tcp(server("127.0.0.1|80", "127.0.0.1|40000", POD_NETNS, UNIT))) == [UID]


def test_same_addresses_in_three_namespaces_are_not_guessed() -> None:
    """Two pairs of pods that use the same addresses behind different bridges."""
    node = Node()
    ends = [
        server("10.9.0.1|80", "10.9.0.2|40000", OTHER_NETNS, OTHER_POD),
        server("10.9.0.1|80", "10.9.0.2|40000", HOST, UNIT),
        client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD),
    ]
    assert node.peers(tcp(*ends))[2] == "private"


def test_tcp_and_udp_are_not_mixed() -> None:
    node = Node()
    node.peers(udp(server("10.9.0.1|80", "10.9.0.2|40000", OTHER_NETNS, OTHER_POD)))
    assert node.peers(tcp(client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD))) == ["private"]
    assert node.peers(udp(client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD))) == [OTHER_UID]


def test_refused_or_translated_connection_belongs_to_who_listens_there() -> None:
    node = Node()
    node.peers(tcp(listening("0.0.0.0|80", OTHER_NETNS, OTHER_POD), server("10.9.0.1|80", "10.9.0.9|1", OTHER_NETNS, OTHER_POD)))
    assert node.peers(tcp(client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD))) == [OTHER_UID]
    assert node.peer.evidence.rows()["listener"] == 1


def requests(*rows: dict[str, Any]) -> Batch:
    """Rows of `request` over connections as `client` and `server` describe them."""
    return batch_of(REQUEST_SCHEMA, *({name: value for name, value in row.items() if name in REQUEST_NAMES} for row in rows))


def test_requests_have_the_peer_that_the_rows_about_their_connection_found() -> None:
    """By name: the lookup is forgotten by the time of the request, the connection is not."""
    node = Node()
    node.names.observe(lookups((SECOND, "shop.example", [("203.0.113.7", 30)])))
    opened = client("10.0.0.5|40000", "203.0.113.7|443", HOST, UNIT, at=2 * SECOND, flow=9)
    assert node.peers(tcp(opened)) == ["shop.example"]
    later = {**opened, "observed_at": 50 * SECOND, "flow": 77}
    assert node.peers(requests(later, later)) == ["shop.example", "shop.example"]
    assert node.peer.evidence.rows()["flow"] == 2


def test_each_request_counts_although_its_connection_is_looked_at_once() -> None:
    """Also those that get an answer which is used again."""
    node = Node()
    node.peers(tcp(server("10.1.2.3|8080", "10.1.2.4|40000", POD_NETNS, POD)))
    owners = OwnerEnrichers((node.local, node.peer), node.identities)
    for later in (1, 2):
        asked = client("10.1.2.4|40000", "10.1.2.3|8080", OTHER_NETNS, OTHER_POD, at=SECOND + later, flow=5)
        batch = requests(asked, asked, asked)
        batch.owners = RowGroups(np.array([0]), np.zeros(3, np.intp))
        owners.enrich(batch)
        node.peer.evidence.enrich(batch)
    assert node.peer.evidence.rows() == {
        "connection": 6,
        "flow": 0,
        "listener": 0,
        "cluster": 0,
        "name": 0,
        "network": 1,
        "unknown": 0,
    }


def test_requests_find_the_other_end_that_connections_told() -> None:
    node = Node()
    node.peers(tcp(server("10.1.2.3|8080", "10.1.2.4|40000", POD_NETNS, POD)))
    asked = client("10.1.2.4|40000", "10.1.2.3|8080", OTHER_NETNS, OTHER_POD, flow=5)
    assert node.peers(requests(asked)) == [UID]
    assert node.peer.evidence.rows()["connection"] == 1


def test_requests_alone_know_both_ends_as_well() -> None:
    node = Node()
    here, there = "10.1.2.4|40000", "10.1.2.3|8080"
    both = requests(client(here, there, OTHER_NETNS, OTHER_POD, flow=5), server(there, here, POD_NETNS, POD, flow=6))
    assert node.peers(both) == [UID, OTHER_UID]


def test_listener_that_ended_is_no_peer() -> None:
    node = Node()
    row = listening("127.0.0.1|80", POD_NETNS, UNIT)
    node.peers(tcp(row))
    assert node.peers(tcp(client("127.0.0.1|40000", "127.0.0.1|80", POD_NETNS, POD))) == ["nginx.service"]
    node.peers(tcp(row | {"event": "listen_ended"}))
    assert node.peers(tcp(client("127.0.0.1|40001", "127.0.0.1|80", POD_NETNS, POD))) == ["loopback"]


def test_client_port_that_happens_to_be_listened_on_is_not_the_peer_of_a_server() -> None:
    node = Node()
    rows = [listening("127.0.0.1|40000", HOST, UNIT), server("127.0.0.1|80", "127.0.0.1|40000", HOST, POD)]
    assert node.peers(tcp(*rows))[1] == "loopback"


def test_listener_has_no_peer_and_is_not_counted_unknown() -> None:
    node = Node()
    batch = tcp(listening("::|80", HOST, UNIT))
    node.peers(batch)
    assert batch["peer"].tolist() == [UNKNOWN]
    assert node.peer.evidence.rows()["unknown"] == 0


def test_unspecified_address_is_unknown_and_counted() -> None:
    node = Node()
    batch = tcp(client("10.0.0.1|1", "::|0", HOST, UNIT), client("10.0.0.1|1", "0.0.0.0|0", HOST, UNIT))
    node.peers(batch)
    assert batch["peer"].tolist() == [UNKNOWN, UNKNOWN]
    assert node.peer.evidence.rows()["unknown"] == 2


def test_remote_address_is_called_by_the_name_looked_up_for_it() -> None:
    node = Node()
    node.names.observe(lookups((10 * SECOND, "api.example.com", [("93.184.215.14", 60)])))
    rows = [
        client("10.0.0.1|1", "93.184.215.14|443", HOST, UNIT, at=11 * SECOND),
        client("10.0.0.1|2", "93.184.215.15|443", HOST, UNIT, at=11 * SECOND),
        client("10.0.0.1|3", "93.184.215.14|443", HOST, UNIT, at=9 * SECOND),
        client("10.0.0.1|4", "93.184.215.14|443", HOST, UNIT, at=11 * SECOND, opened_at=0),
    ]
    batch = tcp(*rows)
    assert node.peers(batch) == ["api.example.com", "internet", "internet", "api.example.com"]
    kinds = [node.identities.workload(number).kind for number in batch["peer"].tolist()]
    assert kinds == [WorkloadKind.NAME, WorkloadKind.NETWORK, WorkloadKind.NETWORK, WorkloadKind.NAME]


def test_long_connection_keeps_the_name_it_was_opened_by() -> None:
    node = Node()
    node.names.observe(
        lookups((10 * SECOND, "old.example", [("203.0.113.7", 60)]), (90 * SECOND, "new.example", [("203.0.113.7", 60)]))
    )
    long = client("10.0.0.1|1", "203.0.113.7|443", HOST, UNIT, at=99999 * SECOND, opened_at=20 * SECOND)
    fresh = client("10.0.0.1|2", "203.0.113.7|443", HOST, UNIT, at=99 * SECOND, opened_at=99 * SECOND)
    late = client("10.0.0.1|3", "203.0.113.7|443", HOST, UNIT, at=99999 * SECOND, opened_at=99999 * SECOND)
    assert node.peers(tcp(long, fresh, late)) == ["old.example", "new.example", "documentation"]


def test_end_on_this_node_is_surer_than_a_name() -> None:
    node = Node()
    node.names.observe(lookups((0, "web.internal", [("10.9.0.1", 600)])))
    rows = [
        client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD),
        server("10.9.0.1|80", "10.9.0.2|40000", OTHER_NETNS, OTHER_POD),
    ]
    assert node.peers(tcp(*rows)) == [OTHER_UID, UID]
    assert node.peers(tcp(client("10.9.0.2|40001", "10.9.0.1|81", POD_NETNS, POD))) == ["web.internal"]


def test_networks_of_the_user_are_used() -> None:
    node = Node((("office", ipaddress.IPv4Network("10.1.0.0/16")),))
    assert node.peers(tcp(client("10.0.0.1|1", "10.1.2.3|22", HOST, UNIT))) == ["office"]


def test_end_that_is_long_gone_does_not_lend_its_name_to_a_new_connection() -> None:
    node = Node()
    node.peers(tcp(server("10.9.0.1|80", "10.9.0.2|40000", OTHER_NETNS, OTHER_POD)))
    late = client("10.9.0.2|40000", "10.9.0.1|80", POD_NETNS, POD, at=1000 * SECOND)
    assert node.peers(tcp(late)) == ["private"]


@pytest.mark.parametrize("batch", [tcp(), udp()])
def test_empty_batch_has_an_empty_column(batch: Batch) -> None:
    Node().peers(batch)
    assert batch["peer"].shape == (0,)


def test_record_that_is_no_flow_is_left_alone() -> None:
    batch = batch_of(LOOKUP_SCHEMA, {"process": 1})
    Node().peer.enrich(batch)
    assert batch.columns == {}


def test_fields_of_the_same_names_that_mean_something_else_are_left_alone() -> None:
    names = ("local_address", "remote_address", "local_port", "remote_port", "netns")
    batch = batch_of(
        schema_of("own_probe", [*((name, "<u4", "") for name in names), ("cgroup", "<u8", "cgroup_id")]), {"netns": 1}
    )
    Node().local.enrich(batch)
    Node().peer.enrich(batch)
    assert list(batch.columns) == ["local"]


ADDRESSES = ("10.9.0.1", "10.9.0.2", "127.0.0.1", "2001:db8::1", "::1", "8.8.8.8", "0.0.0.0", "::")
ENDPOINTS = st.builds(lambda text, port: f"{text}|{port}", st.sampled_from(ADDRESSES), st.sampled_from([0, 80, 40000]))
ROWS = st.builds(
    lambda make, local, remote, netns, cgroup, event: make(local, remote, netns, cgroup) | {"event": event},
    st.sampled_from([client, server, lambda local, remote, netns, cgroup: listening(local, netns, cgroup)]),
    ENDPOINTS,
    ENDPOINTS,
    st.sampled_from([HOST, POD_NETNS, OTHER_NETNS]),
    st.sampled_from([0, POD, OTHER_POD, UNIT]),
    st.sampled_from(["open", "closed", "failed", "listening", "listen_ended"]),
)


@settings(deadline=None)
@given(st.lists(st.lists(ROWS, max_size=8), max_size=4))
def test_every_row_has_a_peer_unless_it_has_no_remote_address(batches: list[list[dict[str, Any]]]) -> None:
    node = Node()
    for rows in batches:
        batch = tcp(*rows)
        node.peers(batch)
        for row, number in zip(rows, batch["peer"].tolist(), strict=True):
            nobody = row["role"] == "listener" or row["remote_address"] in ("0.0.0.0", "::")
            assert (number == UNKNOWN) == nobody
