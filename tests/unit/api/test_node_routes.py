"""Workloads, processes, probes, health, and what stands beside the API."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import pytest

from api.running_agent import RecordedAgent
from collector.api.application import create_app
from collector.api.flow_answers import ProcessesAnswer, WorkloadsAnswer
from collector.api.node_records import HealthAnswer, ProbesAnswer
from collector.api.security import Security
from collector.api.view import HealthState

API = "/api/v1"


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(API + path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_workloads_are_listed_and_filtered(client: httpx.Client) -> None:
    answer = get(client, "/workloads")
    WorkloadsAnswer.model_validate(answer, strict=True)
    assert [workload["number"] for workload in answer["workloads"]] == list(range(7))
    assert [w["name"] for w in get(client, "/workloads", namespace="shop")["workloads"]] == ["cart-7d9f"]
    assert get(client, "/workloads", limit=2)["total"] == 7


def test_processes_come_youngest_first_and_are_filtered(client: httpx.Client) -> None:
    answer = get(client, "/processes")
    ProcessesAnswer.model_validate(answer, strict=True)
    assert [process["pid"] for process in answer["processes"]] == [43, 42, 1]
    assert answer["processes"][0]["lifetime_seconds"] == 1.0
    assert [process["signal"] for process in answer["processes"]] == ["sigkill", None, None]
    for question, found in (
        ({"process": "nginx"}, [42]),
        ({"process": "/usr/sbin/*"}, [42]),
        ({"process": "42,1"}, [42, 1]),
        ({"outcome": "killed"}, [43]),
        ({"workload": "nginx.service"}, [42]),
        ({"limit": 1}, [43]),
    ):
        assert [process["pid"] for process in get(client, "/processes", **question)["processes"]] == found
    assert client.get(f"{API}/processes", params={"outcome": "asleep"}).status_code == 400


def test_a_name_that_looks_like_a_formula_is_no_formula_in_csv(client: httpx.Client) -> None:
    text = client.get(f"{API}/processes", params={"format": "csv"}).text
    assert [row["command"] for row in csv.DictReader(io.StringIO(text, newline=""))] == ["'=cmd|x!A1", "nginx", "init"]


def test_probes_tell_hooks_books_costs_causes_and_remedies(client: httpx.Client) -> None:
    answer = get(client, "/probes")
    ProbesAnswer.model_validate(answer, strict=True)
    tcp, udp = answer["probes"]
    assert tcp["libraries"][0] == {"path": "/usr/lib/libssl.so.3", "processes": 1}
    assert (tcp["notes"], udp["notes"], udp["libraries"]) == (["3 processes are not ours to look at"], [], [])
    assert tcp["books"][0]["dropped"] == {"ring_full": 1}
    assert (tcp["books"][0]["lost"], tcp["books"][0]["balanced"]) == (1, True)
    assert tcp["costs"] == [{"program": "state_change", "run_time_seconds": 2.5, "runs": 1000}]
    assert (udp["state"], udp["cause"], udp["remedy"]) == ("refused", "no cgroup", "mount it")


def test_health_tells_state_and_counts(client: httpx.Client) -> None:
    answer = get(client, "/health")
    HealthAnswer.model_validate(answer, strict=True)
    assert (answer["state"], answer["probes"], answer["lost"]) == ("ok", {"running": 1, "refused": 1}, 1)
    assert answer["flows"]["live"] == {"tcp": 30}
    assert answer["time"] == "2026-09-21T19:46:40.000000Z"


def test_health_tells_how_the_watches_over_the_cluster_go(client: httpx.Client) -> None:
    pods, nodes = get(client, "/health")["kubernetes"]
    assert (pods["resource"], pods["state"], pods["objects"], pods["heard_at"]) == (
        "pods",
        "synced",
        34,
        "1970-01-01T00:00:03.000000Z",
    )
    assert (nodes["state"], nodes["heard_at"], nodes["cause"], nodes["remedy"]) == ("refused", None, "403", "Allow it.")


def test_routes_without_parameters_take_none(client: httpx.Client) -> None:
    error = client.get(f"{API}/health?verbose=1").json()["error"]
    assert (error["parameter"], error["allowed"]) == ("verbose", "no parameter at all")


def test_ready_only_after_the_first_data(client: httpx.Client, agent: RecordedAgent) -> None:
    assert (client.get("/healthz").text, client.get("/readyz").status_code) == ("ok\n", 200)
    agent.state = HealthState.STARTING
    try:
        assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
        agent.state = HealthState.DEGRADED
        assert client.get("/readyz").text == "degraded\n"
    finally:
        agent.state = HealthState.OK


def test_metrics_are_passed_on_or_said_to_be_off(client: httpx.Client, agent: RecordedAgent) -> None:
    answer = client.get("/metrics")
    assert (answer.content, answer.headers["content-type"]) == (b"# EOF\n", "application/openmetrics-text")
    agent.metrics = False
    try:
        assert client.get("/metrics").status_code == 404
    finally:
        agent.metrics = True


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for outside in ("http://", "https://", "src=", "@import"):
        assert outside not in answer.text


def test_the_reference_names_every_route_parameter_and_field(client: httpx.Client) -> None:
    page = client.get("/docs").text
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        assert path in page
        for operation in operations.values():
            assert all(parameter["name"] in page for parameter in operation.get("parameters", []))
    assert "local_container_id" in page


def test_openapi_describes_everything_with_examples() -> None:
    document = create_app(RecordedAgent(), Security()).openapi()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            assert "422" not in operation["responses"], path
            for parameter in operation.get("parameters", []):
                assert parameter["description"] and parameter["schema"]["examples"], (path, parameter["name"])
            if path.startswith(API):
                assert operation["responses"]["400"]["content"]["application/json"]["schema"]
    for name, model in document["components"]["schemas"].items():
        assert model["description"], name
        for field, schema in model["properties"].items():
            assert "$ref" in schema or "items" in schema or (schema["description"] and schema["examples"]), (name, field)


def test_what_is_not_there_and_other_methods_are_refused_in_the_same_form(client: httpx.Client) -> None:
    for answer, status in ((client.get("/api/v2/flows"), 404), (client.post(f"{API}/flows"), 405)):
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"reason", "parameter", "allowed"}
