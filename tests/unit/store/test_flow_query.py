"""Questions about flows: filters, pages, order, groups."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.batch import Rows
from collector.store.columns import command_text
from collector.store.flow_filter import EndFilter, FlowFilter
from collector.store.flow_groups import GROUP_KEYS, GROUP_SORTS
from collector.store.flow_query import SORTS, FlowPage, FlowQuery, run
from collector.store.flow_rows import FLOW
from collector.store.flows import FlowStore
from collector.store.parameter_error import ParameterError
from collector.store.workload_names import WorkloadNames
from store.flow_batches import CONTAINER_ID, OFFSET_NS, POD_UID, SECOND, WORKLOADS, ended, events, many_ended, snapshot, tcp

NAMES = WorkloadNames(WORKLOADS)


def store_of(*rows: dict[str, Any]) -> FlowStore:
    store = FlowStore()
    store.add(snapshot(*(row for row in rows if row["outcome"] == "none")), OFFSET_NS, "tcp")
    store.add(events(*(row for row in rows if row["outcome"] != "none")), OFFSET_NS, "tcp")
    return store


def flows(store: FlowStore, **asked: Any) -> set[int]:
    page = run(FlowQuery(filter=FlowFilter(**asked)), store.view(), NAMES)
    assert page.total == len(page.rows)
    return set(page.rows["flow"].tolist())


def all_rows(store: FlowStore) -> Rows:
    return np.concatenate([*store.view().parts(), np.zeros(0, FLOW)])


@pytest.fixture(scope="module")
def full() -> FlowStore:
    store = FlowStore(capacity=6000)
    store.add(many_ended(5000), OFFSET_NS, "tcp")
    store.add(snapshot(*(tcp(n, local=n % 7, remote_port=53) for n in range(10_000, 10_050))), OFFSET_NS, "tcp")
    return store


def test_a_workload_is_found_at_either_end_or_at_the_end_asked_for() -> None:
    store = store_of(tcp(1, local=1, peer=5), tcp(2, local=5, peer=1), ended(3, local=2, peer=6))
    nginx = EndFilter(workloads=("nginx.service",))
    assert flows(store, either=nginx) == {1, 2}
    assert flows(store, local=nginx) == {1}
    assert flows(store, peer=nginx) == {2}
    assert flows(store, local=EndFilter(workloads=("curl",)), peer=nginx) == {2}


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (EndFilter(workloads=("cart-7d9f",)), {2, 3}),
        (EndFilter(workloads=("shop/cart-*",)), {2}),
        (EndFilter(workloads=("cart-????",)), {2, 3}),
        (EndFilter(workloads=("cart-*",), namespaces=("stage",)), {3}),
        (EndFilter(namespaces=("shop", "stage")), {2, 3}),
        (EndFilter(pods=(POD_UID,)), {2}),
        (EndFilter(pods=("cart-7d9f",)), {2, 3}),
        (EndFilter(pods=("nginx.service",)), set()),
        (EndFilter(containers=(CONTAINER_ID[:12],)), {2}),
        (EndFilter(containers=("redis",)), {4}),
        (EndFilter(workloads=("nobody",)), set()),
        (EndFilter(workloads=("nginx.service", "curl")), {1, 5}),
        (EndFilter(workloads=("unknown",)), {1, 2, 3, 4, 5}),
    ],
)
def test_names_of_every_kind_find_their_workloads(end: EndFilter, expected: set[int]) -> None:
    assert flows(store_of(*(tcp(n, local=n) for n in range(1, 6))), either=end) == expected


def test_a_pattern_of_many_stars_is_answered_at_once() -> None:
    store = store_of(tcp(1, local=6))
    assert flows(store, either=EndFilter(workloads=("*a" * 200 + "b",), processes=("*u" * 200,))) == set()


def test_a_process_is_found_by_name_pattern_and_number() -> None:
    store = store_of(tcp(1, command=b"nginx", process=7), tcp(2, command=b"a-very-long-name"[:15], process=8))
    assert flows(store, either=EndFilter(processes=("nginx",))) == {1}
    assert flows(store, local=EndFilter(processes=("ngi*", "8"))) == {1, 2}
    assert flows(store, local=EndFilter(processes=("a-very-long-name-indeed",))) == {2}
    assert flows(store, local=EndFilter(processes=("9" * 5000,))) == set()


def test_the_process_of_the_other_end_is_refused_not_guessed() -> None:
    with pytest.raises(ParameterError, match="Only this node's end"):
        flows(store_of(tcp(1)), peer=EndFilter(processes=("nginx",)))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("10.0.0.0/8", {1, 2}),
        ("10.0.0.9/32", {2}),
        ("0.0.0.0/0", {1, 2, 3}),
        ("::/0", {1, 2, 3, 4}),
        ("fd00::/8", {4}),
        ("fd00::1:0:0:0:1/128", {4}),
        ("fd00::2:0:0:0:0/80", set()),
        ("127.0.0.0/8", {3}),
        ("::ffff:127.0.0.0/104", {3}),
    ],
)
def test_networks_of_both_families_match_by_prefix(network: str, expected: set[int]) -> None:
    store = store_of(
        tcp(1),
        tcp(2, remote_address="10.0.0.9"),
        tcp(3, local_address="127.0.0.1", remote_address="127.0.0.1"),
        tcp(4, local_address="fd00::1:0:0:0:1", remote_address="fd00::1:0:0:0:2"),
    )
    assert flows(store, either=EndFilter(networks=(ipaddress.ip_network(network),))) == expected


def test_a_port_is_found_at_either_end_or_at_the_end_asked_for() -> None:
    store = store_of(tcp(1, local_port=80, remote_port=4000), tcp(2, local_port=5000, remote_port=80))
    assert flows(store, either=EndFilter(ports=(80,))) == {1, 2}
    assert flows(store, local=EndFilter(ports=(80, 99))) == {1}
    assert flows(store, peer=EndFilter(ports=(80,))) == {2}


def test_protocol_role_state_and_outcome_are_matched_by_name() -> None:
    store = store_of(tcp(1, role="server"), ended(2), ended(3, event="failed", outcome="refused"))
    assert flows(store, roles=("server",)) == {1}
    assert flows(store, states=("closed", "failed")) == {2, 3}
    assert flows(store, outcomes=("refused",)) == {3}
    assert flows(store, protocols=("udp",)) == set()


def test_a_name_that_cannot_be_is_refused_with_those_that_can() -> None:
    with pytest.raises(ParameterError) as caught:
        flows(store_of(tcp(1)), outcomes=("reset",))
    assert caught.value.parameter == "outcome"
    assert "reset_by_peer" in caught.value.allowed


def test_listening_sockets_are_left_out_unless_asked_for() -> None:
    store = store_of(tcp(1), tcp(2, event="listening", role="listener"))
    assert flows(store) == {1}
    assert flows(store, states=("listening",)) == {2}
    assert flows(store, roles=("listener",)) == {2}


def test_a_range_of_time_finds_the_flows_that_existed_in_it() -> None:
    store = store_of(ended(10), ended(20), tcp(30), tcp(1, opened_at=0))  # each closes two seconds after it opened

    def at(second: float) -> int:
        return OFFSET_NS + int(second * SECOND)

    assert flows(store, since_ns=at(13), until_ns=at(25)) == {20, 1}
    assert flows(store, since_ns=at(21), until_ns=at(21.5)) == {20, 1}
    assert flows(store, since_ns=at(23)) == {30, 1}
    assert flows(store, until_ns=at(15)) == {10, 1}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [True, False])
def test_small_pages_together_are_the_one_big_page(full: FlowStore, sort: str, descending: bool) -> None:
    whole = run(FlowQuery(sort=sort, descending=descending, limit=10_000), full.view(), NAMES)
    assert (len(whole.rows), whole.cursor) == (5050, "")
    keys = SORTS[sort](whole.rows).astype(np.int64)
    assert (np.diff(keys) <= 0).all() if descending else (np.diff(keys) >= 0).all()
    pages = list(all_pages(full, FlowQuery(sort=sort, descending=descending, limit=700)))
    assert (np.concatenate([page.rows for page in pages]) == whole.rows).all()
    assert {page.total for page in pages} == {5050}


def all_pages(store: FlowStore, query: FlowQuery) -> list[FlowPage]:
    pages = [run(query, store.view(), NAMES)]
    while pages[-1].cursor:
        pages.append(
            run(FlowQuery(query.filter, query.sort, query.descending, query.limit, pages[-1].cursor), store.view(), NAMES)
        )
    return pages


def test_flows_that_come_while_one_pages_do_not_disturb_the_pages() -> None:
    store = FlowStore()
    store.add(many_ended(300), OFFSET_NS, "tcp")
    store.add(snapshot(*(tcp(n) for n in range(1000, 1050))), OFFSET_NS, "tcp")
    expected = run(FlowQuery(limit=10_000), store.view(), NAMES).rows["flow"].tolist()
    found: list[int] = []
    query = FlowQuery(limit=40)
    while True:
        page = run(query, store.view(), NAMES)
        found += page.rows["flow"].tolist()
        first = 2000 + 100 * len(found)
        store.add(many_ended(30, seed=first, first_flow=first), OFFSET_NS, "tcp")
        store.add(events(ended(1000 + len(found) // 40)), OFFSET_NS, "tcp")
        if not page.cursor:
            break
        query = FlowQuery(limit=40, cursor=page.cursor)
    assert found == expected


def test_a_cursor_pins_what_the_last_minutes_meant() -> None:
    store = store_of(*(ended(n) for n in range(10, 40)))

    def ask(since: int, cursor: str = "") -> FlowPage:
        asked = FlowFilter(since_ns=OFFSET_NS + since * SECOND)
        return run(FlowQuery(asked, limit=5, cursor=cursor, asked="since=5m"), store.view(), NAMES)

    first = ask(20)
    assert ask(35, first.cursor).total == first.total


@pytest.mark.parametrize("cursor", ["x", "!!", "W10", "WzEsMl0", "e30", "MQ", "é", "[" * 9000, "WyIxIiwiMiIsIjMiLCI0IiwiNSJd"])
def test_what_is_no_cursor_is_refused(full: FlowStore, cursor: str) -> None:
    with pytest.raises(ParameterError, match="not a cursor"):
        run(FlowQuery(cursor=cursor), full.view(), NAMES)


def test_a_cursor_of_another_question_or_another_run_is_refused(full: FlowStore) -> None:
    cursor = run(FlowQuery(limit=10), full.view(), NAMES).cursor
    with pytest.raises(ParameterError, match="another question"):
        run(FlowQuery(limit=10, sort="bytes", cursor=cursor), full.view(), NAMES)
    with pytest.raises(ParameterError, match="started anew"):
        run(FlowQuery(limit=10, cursor=cursor), FlowStore().view(), NAMES)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_out_of_range_is_refused(full: FlowStore, limit: int) -> None:
    with pytest.raises(ParameterError, match="page of"):
        run(FlowQuery(limit=limit), full.view(), NAMES)


KEYS = sorted(GROUP_KEYS)


@given(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True), st.sampled_from(sorted(GROUP_SORTS)))
@settings(deadline=None, max_examples=40)
def test_sums_of_groups_are_the_sums_of_their_flows(keys: list[str], sort: str) -> None:
    store = FlowStore()
    store.add(many_ended(500), OFFSET_NS, "tcp")
    page = run(FlowQuery(group_by=tuple(keys), sort=sort, limit=10_000), store.view(), NAMES)
    rows = all_rows(store)
    assert page.total == len(page.groups) == len({tuple(group.keys.items()) for group in page.groups})
    assert sum(group.flows for group in page.groups) == len(rows)
    for column in ("bytes_sent", "bytes_received", "retransmits", "packets_sent"):
        assert sum(getattr(group, column) for group in page.groups) == int(rows[column].sum())
    ranked = list(run(FlowQuery(group_by=tuple(keys), sort=sort, limit=3), store.view(), NAMES).groups)
    assert ranked == list(page.groups[:3])
    if sort in ("flows", "retransmits", "failures"):
        values = [getattr(group, sort) for group in page.groups]
        assert values == sorted(values, reverse=True)


def test_groups_by_process_and_port_count_like_plain_python() -> None:
    store = FlowStore()
    store.add(many_ended(500), OFFSET_NS, "tcp")
    page = run(FlowQuery(group_by=("process", "port"), limit=10_000), store.view(), NAMES)
    roles = store.view().names["role"]
    expected: Counter[tuple[str, str]] = Counter()
    for row in all_rows(store):
        port = row["local_port"] if roles[row["role"]] == "server" else row["remote_port"]
        expected[command_text(row["command"]), str(port)] += 1
    assert {(group.keys["process"], group.keys["port"]): group.flows for group in page.groups} == dict(expected)


def test_groups_by_workload_tell_namespaces_apart_and_merge_equal_names() -> None:
    store = store_of(tcp(1, local=2), tcp(2, local=3), tcp(3, local=2), ended(4, local=2, outcome="refused", event="failed"))
    groups = run(FlowQuery(group_by=("workload",)), store.view(), NAMES).groups
    assert [(group.keys["workload"], group.flows, group.open, group.failures) for group in groups] == [
        ("shop/cart-7d9f", 3, 2, 1),
        ("stage/cart-7d9f", 1, 1, 0),
    ]


def test_means_are_of_known_values_only() -> None:
    store = store_of(tcp(1, smoothed_rtt=200), tcp(2), tcp(3, smoothed_rtt=400))
    group = run(FlowQuery(group_by=("protocol",)), store.view(), NAMES).groups[0]
    assert (group.rtt_seconds, group.connect_seconds) == (0.0003, None)


@pytest.mark.parametrize("query", [FlowQuery(group_by=("colour",)), FlowQuery(group_by=("peer",), sort="time")])
def test_unknown_groups_and_orders_are_refused(full: FlowStore, query: FlowQuery) -> None:
    with pytest.raises(ParameterError, match="There is no"):
        run(query, full.view(), NAMES)


def test_groups_and_a_cursor_do_not_go_together(full: FlowStore) -> None:
    with pytest.raises(ParameterError, match="one page"):
        run(FlowQuery(group_by=("peer",), cursor="x"), full.view(), NAMES)


def test_an_empty_store_answers() -> None:
    assert run(FlowQuery(), FlowStore().view(), NAMES).total == 0
    assert run(FlowQuery(group_by=("peer", "port")), FlowStore().view(), NAMES).groups == []
