"""Requests over real HTTP: rows, groups, formats, refusals and the live stream."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_SECONDS
from store.flow_batches import snapshot, tcp
from store.request_batches import CLIENT, MILLISECOND, OFFSET_NS, RequestBatches, request

from api.running_agent import RecordedAgent
from api.test_flow_routes import VALUES, clean, get
from api.test_server import next_events, wait_until
from collector.api.node_records import MapAnswer
from collector.api.request_parameters import RequestParameters
from collector.api.request_records import REQUEST_COLUMNS, RequestGroupsAnswer, RequestsAnswer
from collector.api.server import ApiServer
from collector.store.follow import Followers
from collector.store.requests import RequestStore

REQUESTS, STREAM = "/api/v1/requests", "/api/v1/requests/stream"


def fill(store: RequestStore) -> None:
    """200 requests to nginx from boot second 19,801 on, every tenth failing; 20 statements; one without an answer."""
    batches = RequestBatches()
    asked = [
        request(
            19_801 + n,
            resource=f"/users/{n}",
            duration=(n + 1) * MILLISECOND,
            **({"status": "503", "error_type": "503", "outcome": "error"} if n % 10 == 0 else {}),
        )
        for n in range(200)
    ]
    statements = [
        request(
            19_900, role=CLIENT, protocol="postgresql", operation="SELECT", resource="orders", status="",
            local=2, peer=6, command=b"cart", server_port=5432, local_port=50000, remote_port=5432,
        )
        for _ in range(20)
    ]  # fmt: skip
    silent = request(19_950, duration=0, first_byte=0, outcome="unanswered", status="", response_bytes=0, local=4)
    store.add(batches.batch(*asked, *statements, silent), OFFSET_NS)


@pytest.fixture(scope="module")
def agent() -> RecordedAgent:
    agent = RecordedAgent()
    fill(agent.requests)
    return agent


def test_requests_are_as_the_documentation_says(client: httpx.Client) -> None:
    answer = get(client, REQUESTS, limit=1000)
    RequestsAnswer.model_validate(answer, strict=True)
    assert answer["total"] == len(answer["requests"]) == 221
    assert tuple(answer["requests"][0]) == REQUEST_COLUMNS
    assert answer["complete"] == {"since": None, "overwritten": 0, "lost": 0}
    newest = answer["requests"][0]
    assert (newest["path"], newest["route"], newest["status"]) == ("/users/199", "/users/:id", "200")
    assert (newest["local_workload"], newest["peer_workload"], newest["server_port"]) == ("nginx.service", "curl", 80)
    assert (newest["duration_seconds"], newest["request_body_bytes"], newest["error"]) == (0.2, None, None)


def test_what_is_no_path_is_not_called_one(client: httpx.Client) -> None:
    statement = get(client, REQUESTS, protocol="postgresql")["requests"][0]
    assert (statement["path"], statement["route"], statement["operation"]) == (None, "orders", "SELECT")
    assert (statement["status"], statement["peer_port"]) == (None, 5432)


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ({"status": "5xx"}, 20),
        ({"error": "*", "workload": "nginx.service"}, 20),
        ({"outcome": ["unanswered", "error"]}, 21),
        ({"min_duration": "150ms"}, 51),
        ({"min_duration": "0.15"}, 51),
        ({"route": "/users/*", "operation": "get"}, 201),
        ({"peer_workload": "api.example.org"}, 20),
        ({"side": "peer", "workload": "curl"}, 201),
        ({"side": "local", "workload": "curl"}, 0),
        ({"namespace": "shop", "port": "5432"}, 20),
        ({"process": "cart", "role": "client"}, 20),
        ({"since": "10s"}, 11),
        ({"since": "100s", "until": "90s", "protocol": "http"}, 11),
    ],
)
def test_filters_are_combined(client: httpx.Client, asked: dict[str, Any], total: int) -> None:
    assert get(client, REQUESTS, **asked)["total"] == total


def test_groups_have_counts_rates_shares_and_percentiles(client: httpx.Client) -> None:
    answer = get(client, REQUESTS, group_by="workload,route", since="100s", protocol="http", side="local", workload="nginx*")
    RequestGroupsAnswer.model_validate(answer, strict=True)
    assert answer["range_seconds"] == 100.0
    (group,) = answer["groups"]
    assert (group["workload"], group["route"]) == ("nginx.service", "/users/:id")
    assert (group["requests"], group["rate"], group["errors"], group["error_share"]) == (101, 1.01, 10, 10 / 101)
    assert (group["p50_seconds"], group["p99_seconds"], group["max_seconds"]) == (0.15, 0.199, 0.2)


def test_ndjson_and_csv_hold_the_same_rows_as_json(client: httpx.Client) -> None:
    rows = get(client, REQUESTS, limit=50)["requests"]
    ndjson = client.get(REQUESTS, params={"limit": 50, "format": "ndjson"})
    assert [json.loads(line) for line in ndjson.text.splitlines()] == rows
    comma_separated = client.get(REQUESTS, params={"limit": 50}, headers={"accept": "text/csv"})
    assert comma_separated.headers["x-total"] == "221"
    read = list(csv.DictReader(io.StringIO(comma_separated.text, newline="")))
    assert [row["path"] for row in read] == [row["path"] for row in rows]
    groups = client.get(REQUESTS, params={"group_by": ["route", "status"], "format": "csv"}).text
    assert groups.splitlines()[0].startswith("route,status,requests,rate,errors")


def test_pages_follow_each_other_without_gap_or_repetition(client: httpx.Client) -> None:
    question = {"sort": "duration", "order": "asc", "protocol": "http", "since": "1000s"}
    whole = get(client, REQUESTS, limit=1000, **question)["requests"]
    pages = [get(client, REQUESTS, limit=80, **question)]
    while pages[-1]["next_cursor"]:
        pages.append(get(client, REQUESTS, limit=80, cursor=pages[-1]["next_cursor"], **question))
    assert [row for page in pages for row in page["requests"]] == whole
    assert len(pages) == 3


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("protocol=ftp", "protocol"),
        ("role=listener", "role"),
        ("outcome=closed", "outcome"),
        ("min_duration=long", "min_duration"),
        ("min_duration=1ms&min_duration=2ms", "min_duration"),
        ("min_duration=99999999999d", "min_duration"),
        ("port=0", "port"),
        ("side=left", "side"),
        ("side=peer&peer_workload=x", "side"),
        ("side=peer&process=x", "process"),
        ("status=", "status"),
        ("sort=rate", "sort"),
        ("group_by=route&sort=time", "sort"),
        ("group_by=path", "group_by"),
        ("group_by=route&cursor=x", "cursor"),
        ("cursor=x", "cursor"),
        ("order=up", "order"),
        ("limit=0", "limit"),
        ("since=lately", "since"),
        ("path=/users/1", "path"),
    ],
)
def test_bad_questions_are_refused_with_the_parameter(client: httpx.Client, query: str, parameter: str) -> None:
    answer = client.get(f"{REQUESTS}?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["parameter"] == parameter
    assert answer.json()["error"]["allowed"]


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_question_makes_the_server_fail(client: httpx.Client, data: st.DataObject) -> None:
    names = st.sampled_from([*RequestParameters.model_fields, "unknown"])
    query = data.draw(st.lists(st.tuples(names, VALUES.map(clean)), max_size=4))
    answer = client.get(REQUESTS, params=query)
    assert answer.status_code in (200, 400), answer.text


@pytest.fixture
def live() -> Iterator[tuple[RecordedAgent, ApiServer]]:
    agent = RecordedAgent(requests=RequestStore(followers=Followers(subscribers_max=1, queue_rows=100)))
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    yield agent, server
    server.stop()


def test_a_stream_gives_requests_that_fit_and_says_what_was_missed(live: tuple[RecordedAgent, ApiServer]) -> None:
    agent, server = live
    batches = RequestBatches()
    with (
        httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client,
        client.stream("GET", STREAM, params={"status": "5xx", "min_duration": "1ms"}) as answer,
    ):
        wait_until(lambda: len(agent.requests.followers) == 1)
        assert client.get(STREAM).status_code == 429
        rows = [request(n, status="500" if n % 2 else "200") for n in range(1, 131)]
        with agent.lock:
            agent.requests.add(batches.batch(*rows), OFFSET_NS)
        found = next_events(answer.iter_lines(), 51)
    assert found[0] == ("lost", {"rows": 30})
    assert {(name, content["status"]) for name, content in found[1:]} == {("request", "500")}
    assert found[1][1]["time"] == "2026-09-21T14:13:51.000000Z"
    wait_until(lambda: len(agent.requests.followers) == 0)


def test_a_stream_refuses_what_cannot_be_asked_before_it_begins(client: httpx.Client) -> None:
    assert client.get(STREAM, params={"role": "listener"}).status_code == 400
    assert client.get(STREAM, params={"since": "5m"}).json()["error"]["parameter"] == "since"


def test_the_map_shows_requests_on_the_edges_they_belong_to() -> None:
    agent = RecordedAgent()
    agent.flows.add(snapshot(tcp(19_900, local=5, peer=1), tcp(19_901, local=5, peer=1, remote_port=81)), OFFSET_NS, "tcp")
    fill(agent.requests)
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
            answer = get(client, "/api/v1/services/map", since="100s")
    finally:
        server.stop()
    MapAnswer.model_validate(answer, strict=True)
    by_port = {edge["port"]: edge["requests"] for edge in answer["edges"]}
    assert by_port == {
        80: [{"protocol": "http", "requests": 101, "errors": 10, "p50_seconds": 0.15, "p99_seconds": 0.199}],
        81: [],
    }


def test_what_is_forgotten_is_said() -> None:
    agent = RecordedAgent(requests=RequestStore(capacity=50))
    fill(agent.requests)
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
            complete = get(client, REQUESTS)["complete"]
            grouped = get(client, REQUESTS, group_by="protocol")
    finally:
        server.stop()
    assert complete["overwritten"] == 171 and complete["since"] is not None
    assert grouped["range_seconds"] < 40  # the first that is kept began at second 19,972 of 20,000
