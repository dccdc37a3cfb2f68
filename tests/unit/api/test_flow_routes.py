"""Flows and lookups over real HTTP."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from collector.api.flow_answers import FlowsAnswer, GroupsAnswer, LookupsAnswer
from collector.api.flow_records import FLOW_COLUMNS, FlowRecord
from collector.api.node_records import MapAnswer
from collector.api.parameters import FlowParameters, LookupParameters, MapParameters

FLOWS, LOOKUPS, MAP = "/api/v1/flows", "/api/v1/lookups", "/api/v1/services/map"


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_flows_are_as_the_documentation_says(client: httpx.Client) -> None:
    answer = get(client, FLOWS, limit=10_000)
    FlowsAnswer.model_validate(answer, strict=True)
    assert answer["total"] == len(answer["flows"]) == 1230
    assert tuple(answer["flows"][0]) == FLOW_COLUMNS
    assert {flow["state"] for flow in answer["flows"]} == {"open", "closed"}


def test_ndjson_and_csv_hold_the_same_rows_as_json(client: httpx.Client) -> None:
    rows = get(client, FLOWS, limit=600)["flows"]
    ndjson = client.get(FLOWS, params={"limit": 600, "format": "ndjson"})
    assert [json.loads(line) for line in ndjson.text.splitlines()] == rows
    comma_separated = client.get(FLOWS, params={"limit": 600}, headers={"accept": "text/csv"})
    assert comma_separated.headers["x-total"] == "1230"
    assert [from_csv(row) for row in csv.DictReader(io.StringIO(comma_separated.text, newline=""))] == rows


TYPES = {name: TypeAdapter(field.annotation) for name, field in FlowRecord.model_fields.items()}


def from_csv(row: dict[str, str]) -> dict[str, Any]:
    """A record again: an empty cell is null where null can be."""
    return {name: TYPES[name].validate_strings(text) if text or not nullable(name) else None for name, text in row.items()}


def nullable(name: str) -> bool:
    return "None" in str(FlowRecord.model_fields[name].annotation)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("application/json;q=0.5, text/csv", "text/csv; charset=utf-8"),
        ("text/csv;q=0.1, application/x-ndjson;q=0.9", "application/x-ndjson"),
        ("text/csv;q=none", "application/json"),
        (";;;,,q=", "application/json"),
    ],
)
def test_the_accept_header_decides_the_format(client: httpx.Client, accept: str, content_type: str) -> None:
    assert client.get(FLOWS, headers={"accept": accept}).headers["content-type"] == content_type


def test_pages_follow_each_other_without_gap_or_repetition(client: httpx.Client) -> None:
    question = {"sort": "bytes", "since": "10d", "protocol": "tcp"}
    whole = get(client, FLOWS, limit=10_000, **question)
    found, cursor = [], ""
    while True:
        page = get(client, FLOWS, limit=333, cursor=cursor, **question) if cursor else get(client, FLOWS, limit=333, **question)
        found += page["flows"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert found == whole["flows"]


def test_groups_add_up_in_json_and_csv(client: httpx.Client) -> None:
    answer = get(client, FLOWS, group_by="workload,peer", limit=10_000)
    GroupsAnswer.model_validate(answer, strict=True)
    flows = get(client, FLOWS, limit=10_000)["flows"]
    assert sum(group["bytes_received"] for group in answer["groups"]) == sum(flow["bytes_received"] for flow in flows)
    text = client.get(FLOWS, params={"group_by": ["workload", "peer"], "limit": 10_000, "format": "csv"}).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["peer"] for row in rows] == [group["peer"] for group in answer["groups"]]
    assert list(rows[0])[:2] == ["workload", "peer"]


def test_filters_are_combined(client: httpx.Client) -> None:
    question = {"workload": "nginx.service", "side": "local", "peer_workload": "curl", "state": "open", "peer_port": 80}
    flows = get(client, FLOWS, **question)["flows"]
    assert len(flows) == 30
    assert {(flow["local_workload"], flow["peer_workload"], flow["peer_port"]) for flow in flows} == {
        ("nginx.service", "curl", 80)
    }
    both = get(client, FLOWS, outcome=["refused", "closed"], role="client,server", address="10.0.0.0/8", limit=10_000)["flows"]
    assert {flow["outcome"] for flow in both} == {"refused", "closed"}


def test_an_answer_says_whether_it_is_complete(client: httpx.Client) -> None:
    assert get(client, FLOWS)["complete"] == {"since": None, "overwritten": 0, "lost": 1}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("colour=red", "colour"),
        ("since=yesterday", "since"),
        ("since=2026-11-23T08:00:00", "since"),
        ("since=99999999999999", "since"),
        ("since=1h&until=2h", "until"),
        ("port=0", "port"),
        ("port=65536", "port"),
        ("port=http", "port"),
        ("peer_port=%C2%B2", "peer_port"),
        ("address=10.0.0.0/33", "address"),
        ("address=example.org", "address"),
        ("side=left", "side"),
        ("side=peer&peer_port=1", "side"),
        ("side=peer&process=x", "process"),
        ("state=closing", "state"),
        ("role=proxy", "role"),
        ("outcome=bad", "outcome"),
        ("protocol=sctp", "protocol"),
        ("sort=colour", "sort"),
        ("order=up", "order"),
        ("group_by=colour", "group_by"),
        ("group_by=peer&sort=time", "sort"),
        ("group_by=peer&cursor=x", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("format=xml", "format"),
        ("workload=", "workload"),
        ("workload=a,,b", "workload"),
    ],
)
def test_bad_input_is_refused_with_reason_parameter_and_what_is_allowed(client: httpx.Client, query: str, parameter: str) -> None:
    answer = client.get(f"{FLOWS}?{query}")
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["parameter"] == parameter
    assert error["reason"] and error["allowed"]


@pytest.mark.parametrize("since", ["5h", "2026-09-21T18:00:00Z", "2026-09-21T20:00:00+02:00", "1790013600", "1790013600.5"])
def test_moments_can_be_written_in_every_usual_way(client: httpx.Client, since: str) -> None:
    answer = client.get(f"{FLOWS}?since={since}&limit=10000")  # the plus sign unescaped, as people write it
    assert answer.status_code == 200
    assert 30 <= answer.json()["total"] < 1230


def test_lookups_are_found_by_name_workload_code_and_page(client: httpx.Client) -> None:
    answer = get(client, LOOKUPS)
    LookupsAnswer.model_validate(answer, strict=True)
    assert answer["total"] == 30
    newest = answer["lookups"][0]
    assert (newest["question"], newest["local_workload"], newest["process"]) == ("host29.example.org", "cart-7d9f", "curl")
    assert newest["answers"] == ["192.0.2.7", "2001:db8::7"]
    assert get(client, LOOKUPS, name="host1?.example.org")["total"] == 10
    assert get(client, LOOKUPS, name="HOST7.example.org.")["total"] == 1
    assert get(client, LOOKUPS, response_code="timeout", workload="shop/*")["total"] == 10
    assert get(client, LOOKUPS, question_type="65280")["total"] == 10
    assert get(client, LOOKUPS, process="wget")["total"] == 0
    first = get(client, LOOKUPS, limit=20)
    second = get(client, LOOKUPS, limit=20, cursor=first["next_cursor"])
    assert first["lookups"] + second["lookups"] == answer["lookups"]
    assert second["next_cursor"] is None
    assert client.get(LOOKUPS, params={"format": "csv"}).text.splitlines()[1].count("192.0.2.7 2001:db8::7") == 1


@pytest.mark.parametrize("query", ["response_code=bad", "cursor=x", "limit=0", "name=", "role=listener", "sort=time"])
def test_bad_questions_about_lookups_are_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"{LOOKUPS}?{query}").status_code == 400


def test_the_map_is_as_the_documentation_says(client: httpx.Client) -> None:
    answer = get(client, MAP, workload="nginx.service", side="local", state="open")
    MapAnswer.model_validate(answer, strict=True)
    assert [(edge["connections"], edge["open"], edge["port"]) for edge in answer["edges"]] == [(30, 30, 80)]
    assert {node["name"]: node["connections_in"] for node in answer["nodes"]} == {"nginx.service": 0, "curl": 30}
    limited = get(client, MAP, limit=5)
    assert limited["edges_total"] > len(limited["edges"]) == 5


ROUTES = {FLOWS: FlowParameters, LOOKUPS: LookupParameters, MAP: MapParameters}
ODD = ("1", "-1", "5m", "tcp", "client", "*", "[", "10.0.0.0/8", "::/0", "time", "peer", "json", "é", "\x00", "%", "9" * 30)
VALUES = st.text(max_size=40) | st.sampled_from(ODD)


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_string_makes_the_server_fail(client: httpx.Client, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(ROUTES)))
    names = st.sampled_from([*ROUTES[path].model_fields, "unknown"])
    query = data.draw(st.lists(st.tuples(names, VALUES.map(clean)), max_size=4))
    answer = client.get(path, params=query)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert set(answer.json()["error"]) == {"reason", "parameter", "allowed"}


def clean(text: str) -> str:
    """Surrogates cannot be sent; everything else can."""
    return text.encode("utf-8", "ignore").decode()


def test_no_answer_holds_a_kernel_address(client: httpx.Client) -> None:
    for path in (FLOWS, LOOKUPS, MAP, "/api/v1/probes", "/api/v1/health"):
        assert "ffff8" not in client.get(path).text
        assert "ffffc" not in client.get(path).text
