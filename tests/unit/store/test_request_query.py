"""Questions to the store of requests: filters, order, pages, groups with their percentiles, and rates over the right time."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.store.flow_filter import EndFilter
from collector.store.parameter_error import ParameterError
from collector.store.request_filter import RequestFilter
from collector.store.request_groups import GROUP_KEYS, GROUP_SORTS, PERCENTILES, RequestGroup
from collector.store.request_query import SORTS, RequestPage, RequestQuery, find_requests
from collector.store.requests import RequestStore
from collector.store.workload_names import WorkloadNames
from store.flow_batches import WORKLOADS
from store.request_batches import CLIENT, MILLISECOND, OFFSET_NS, SECOND, SERVER, RequestBatches, request

NAMES = WorkloadNames(WORKLOADS)


def store_of(*rows: dict[str, Any]) -> RequestStore:
    store = RequestStore()
    store.add(RequestBatches().batch(*rows), OFFSET_NS)
    return store


def found(store: RequestStore, **asked: Any) -> list[int]:
    """Order of arrival of the requests that fit, from 1."""
    page = find_requests(RequestQuery(RequestFilter(**asked), limit=10_000), store.view(), NAMES)
    return sorted(page.rows["sequence"].tolist())


def groups(store: RequestStore, *keys: str, **asked: Any) -> list[RequestGroup]:
    return list(find_requests(RequestQuery(group_by=keys, **asked), store.view(), NAMES).groups)


def at(second: float) -> int:
    return OFFSET_NS + int(second * SECOND)


@pytest.fixture(scope="module")
def varied() -> RequestStore:
    return store_of(
        request(1),
        request(2, operation="POST", resource="/orders", status="503", error_type="503", outcome="error", duration=SECOND),
        request(3, role=CLIENT, local=5, peer=1, command=b"curl", process=77, status="404", error_type="404", server_port=81),
        request(4, protocol="postgresql", operation="SELECT", resource="orders", status="", local=2, peer=6, server_port=5432),
        request(5, duration=0, outcome="unanswered", status=""),
    )


@pytest.mark.parametrize(
    ("asked", "sequences"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"protocols": ("http",), "roles": ("server",)}, [1, 2, 5]),
        ({"operations": ("post", "SEL*")}, [2, 4]),
        ({"routes": ("/users/:id",)}, [1, 3, 5]),
        ({"routes": ("orders",)}, [4]),
        ({"statuses": ("5xx",)}, [2]),
        ({"statuses": ("4XX", "200")}, [1, 3]),
        ({"statuses": ("*",)}, [1, 2, 3]),
        ({"statuses": ("20",)}, []),
        ({"errors": ("*",)}, [2, 3, 5]),
        ({"errors": ("unanswered",)}, [5]),
        ({"errors": ("404",)}, [3]),
        ({"outcomes": ("unanswered", "error")}, [2, 5]),
        ({"ports": (81, 5432)}, [3, 4]),
        ({"min_duration_ns": SECOND}, [2]),
        ({"either": EndFilter(workloads=("nginx.service",))}, [1, 2, 3, 5]),
        ({"local": EndFilter(workloads=("nginx.service",))}, [1, 2, 5]),
        ({"peer": EndFilter(workloads=("nginx.service",))}, [3]),
        ({"local": EndFilter(namespaces=("shop",))}, [4]),
        ({"either": EndFilter(processes=("curl",))}, [3]),
        ({"local": EndFilter(processes=("42",))}, [1, 2, 4, 5]),
        ({"since_ns": at(2.5), "until_ns": at(4)}, [2, 3, 4]),
    ],
)
def test_every_filter_finds_what_it_names(varied: RequestStore, asked: dict[str, Any], sequences: list[int]) -> None:
    assert found(varied, **asked) == sequences


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"protocols": ("ftp",)}, "protocol"),
        ({"roles": ("listener",)}, "role"),
        ({"outcomes": ("closed",)}, "outcome"),
        ({"peer": EndFilter(processes=("curl",))}, "process"),
    ],
)
def test_what_cannot_be_is_refused(varied: RequestStore, asked: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ParameterError) as refused:
        found(varied, **asked)
    assert refused.value.parameter == parameter


def many(count: int, seed: int = 1) -> RequestStore:
    """Requests of several batches, with equal keys among them."""
    random, store, batches = np.random.default_rng(seed), RequestStore(), RequestBatches()
    for start in range(0, count, 97):
        rows = [
            request(
                int(random.integers(1, 50)),
                duration=int(random.integers(0, 40)) * MILLISECOND,
                request_bytes=int(random.integers(0, 9)),
                operation=str(random.choice(["GET", "POST"])),
                resource=f"/{random.choice(['users', 'orders', 'carts'])}/{random.integers(1, 9)}",
                status=str(random.choice(["200", "404", "500"])),
                local=int(random.integers(0, 6)),
                role=int(random.integers(1, 3)),
            )
            for _ in range(min(97, count - start))
        ]
        store.add(batches.batch(*rows), OFFSET_NS)
    return store


@pytest.fixture(scope="module")
def full() -> RequestStore:
    return many(1500)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [True, False])
def test_small_pages_together_are_the_one_big_page(full: RequestStore, sort: str, descending: bool) -> None:
    def ask(limit: int, cursor: str = "") -> RequestPage:
        return find_requests(RequestQuery(sort=sort, descending=descending, limit=limit, cursor=cursor), full.view(), NAMES)

    whole = ask(10_000)
    assert (len(whole.rows), whole.cursor) == (1500, "")
    keys = np.diff(SORTS[sort](whole.rows).astype(np.int64))
    assert (keys <= 0).all() if descending else (keys >= 0).all()
    pages = [ask(400)]
    while pages[-1].cursor:
        pages.append(ask(400, pages[-1].cursor))
    assert (np.concatenate([page.rows["sequence"] for page in pages]) == whole.rows["sequence"]).all()
    assert {page.total for page in pages} == {1500}


def test_requests_that_come_while_one_pages_do_not_disturb_the_pages() -> None:
    store, batches = RequestStore(), RequestBatches()
    store.add(batches.batch(*(request(n) for n in range(1, 8))), OFFSET_NS)
    first = find_requests(RequestQuery(limit=4), store.view(), NAMES)
    store.add(batches.batch(request(9), request(2)), OFFSET_NS)
    second = find_requests(RequestQuery(limit=4, cursor=first.cursor), store.view(), NAMES)
    assert first.rows["sequence"].tolist() + second.rows["sequence"].tolist() == [7, 6, 5, 4, 3, 2, 1]


def test_cursors_of_other_questions_and_runs_are_refused(full: RequestStore) -> None:
    cursor = find_requests(RequestQuery(limit=10), full.view(), NAMES).cursor
    for query, store in (
        (RequestQuery(limit=10, sort="bytes", cursor=cursor), full),
        (RequestQuery(limit=10, cursor=cursor), RequestStore()),
        (RequestQuery(cursor="x"), full),
        (RequestQuery(group_by=("route",), cursor="x"), full),
        (RequestQuery(limit=0), full),
        (RequestQuery(limit=10_001), full),
        (RequestQuery(sort="rate"), full),
        (RequestQuery(group_by=("route",), sort="time"), full),
        (RequestQuery(group_by=("colour",)), full),
    ):
        with pytest.raises(ParameterError):
            find_requests(query, store.view(), NAMES)


@given(
    st.lists(st.sampled_from(sorted(GROUP_KEYS)), min_size=1, max_size=4, unique=True),
    st.sampled_from(sorted(GROUP_SORTS)),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=30)
def test_groups_are_what_plain_python_makes_of_their_requests(keys: list[str], sort: str, seed: int) -> None:
    store = many(300, seed)
    view = store.view()
    made = groups(store, *keys, sort=sort, limit=10_000)
    rows = np.concatenate(view.history)
    coded = [GROUP_KEYS[key](rows, view.words, NAMES) for key in keys]
    expected: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in range(len(rows)):
        expected[tuple(text[codes[index]] for codes, text in coded)].append(index)
    assert {tuple(group.keys.values()) for group in made} == set(expected)
    assert len(made) == len(expected)
    for group in made:
        members = rows[expected[tuple(group.keys.values())]]
        durations = sorted(duration for duration in members["duration"].tolist() if duration)
        assert (group.requests, group.request_bytes) == (len(members), int(members["request_bytes"].sum()))
        for name, part in PERCENTILES.items():
            rank = math.ceil(round(len(durations) * part, 9)) - 1
            assert getattr(group, name) == (durations[rank] / 1e9 if durations else None)
    assert groups(store, *keys, sort=sort, limit=3) == made[:3]


def test_errors_are_answers_that_say_so_and_requests_without_an_answer(varied: RequestStore) -> None:
    by_role = {group.keys["role"]: group for group in groups(varied, "role")}
    assert (by_role["server"].requests, by_role["server"].errors, by_role["server"].error_share) == (4, 2, 0.5)
    assert (by_role["client"].requests, by_role["client"].errors, by_role["client"].error_share) == (1, 1, 1.0)


def test_requests_without_an_answer_have_no_duration() -> None:
    (group,) = groups(store_of(request(1, duration=0, outcome="unanswered")), "route")
    assert (group.p50_seconds, group.max_seconds, group.errors) == (None, None, 1)


def rate(store: RequestStore, **asked: Any) -> float | None:
    query = RequestQuery(RequestFilter(**asked), group_by=("protocol",), seen_from_ns=at(0), now_ns=at(100))
    (group,) = find_requests(query, store.view(), NAMES).groups
    return group.rate


def test_rates_are_over_the_time_that_was_asked_for_and_seen() -> None:
    store = store_of(*(request(second) for second in range(1, 51)))
    assert rate(store) == 0.5  # since the agent's start
    assert rate(store, since_ns=at(40)) == 11 / 60
    assert rate(store, since_ns=at(-500)) == 0.5  # nobody was there to see
    assert rate(store, since_ns=at(40), until_ns=at(44)) == 5 / 4
    assert rate(store, until_ns=at(900)) == 0.5  # the future is not over
    assert rate(store, since_ns=at(10), until_ns=at(10)) is None


def test_rates_leave_out_the_time_that_is_forgotten() -> None:
    store, batches = RequestStore(capacity=10), RequestBatches()
    store.add(batches.batch(*(request(second, duration=0) for second in range(1, 91))), OFFSET_NS)
    assert rate(store, since_ns=at(0)) == 10 / 19


def test_an_empty_store_answers() -> None:
    assert find_requests(RequestQuery(), RequestStore().view(), NAMES).total == 0
    page = find_requests(RequestQuery(group_by=("route", "peer")), RequestStore().view(), NAMES)
    assert (page.groups, page.total, page.seconds) == ([], 0, 0.0)


def test_server_and_client_are_two_views_of_one_request() -> None:
    store = store_of(request(1, role=SERVER), request(1, role=CLIENT, local=5, peer=1))
    made = {
        (group.keys["workload"], group.keys["peer"], group.keys["role"]) for group in groups(store, "workload", "peer", "role")
    }
    assert made == {("nginx.service", "curl", "server"), ("curl", "nginx.service", "client")}
