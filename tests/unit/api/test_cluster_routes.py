"""Pods and holders of addresses over HTTP, and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from enrich import cluster_samples
from enrich.batches import SECOND
from enrich.cluster_samples import container, learnt, node, pod, service
from store.flow_batches import OFFSET_NS

from api.conftest import filled_agent
from api.running_agent import RecordedAgent
from collector.__main__ import main
from collector.api.pod_records import PodsAnswer, ResolveAnswer
from collector.api.server import ApiServer
from collector.clock import FixedClock
from collector.enrich.cluster import Cluster
from collector.enrich.pod_attributes import NamingChoice
from collector.enrich.workload_table import WorkloadTable

API = "/api/v1"


@pytest.fixture(scope="module")
def agent() -> RecordedAgent:
    made = filled_agent()
    made.cluster = Cluster(FixedClock(cluster_samples.OFFSET), WorkloadTable(), NamingChoice(labels=("team",)))
    server = (container("server", "a" * 64),)
    made.cluster.learn(
        [
            learnt(pod("cart", "10.0.0.5", "fd00::5", started=3, deployment="cart", containers=server, labels={"team": "a"}), 4),
            learnt(pod("db", "10.0.0.6", node="node-2", namespace="data"), 5),
            learnt(pod("agent", "192.168.0.1", host_network=True)),
            learnt(pod("cart"), 10, gone=True),
            learnt(service("web", "10.96.0.1", port=443)),
            learnt(node("node-1", "192.168.0.1")),
        ]
    )
    return made


@pytest.fixture(scope="module")
def client(agent: RecordedAgent) -> Iterator[httpx.Client]:
    server = ApiServer(agent, "127.0.0.1", 0)
    server.start()
    with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as opened:
        yield opened
    server.stop()


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(API + path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ({}, ["pod-db", "pod-agent", "pod-cart"]),
        ({"namespace": "shop"}, ["pod-agent", "pod-cart"]),
        ({"pod": "data/pod-*"}, ["pod-db"]),
        ({"pod": "cart"}, ["pod-cart"]),
        ({"workload": "shop/cart"}, ["pod-cart"]),
        ({"node": "node-2"}, ["pod-db"]),
        ({"label": "team=a"}, ["pod-cart"]),
        ({"address": "::ffff:10.0.0.6"}, ["pod-db"]),
        ({"address": "10.0.0.5"}, ["pod-cart"]),
        ({"limit": 1}, ["pod-db"]),
    ],
)
def test_pods_are_listed_and_filtered(client: httpx.Client, question: dict[str, str], names: list[str]) -> None:
    answer = get(client, "/pods", **question)
    PodsAnswer.model_validate(answer, strict=True)
    assert [one["name"] for one in answer["pods"]] == names
    assert answer["total"] == (3 if "limit" in question else len(names))


def test_pod_says_what_it_is_and_when(client: httpx.Client) -> None:
    (found,) = get(client, "/pods", pod="pod-cart")["pods"]
    assert (found["workload"], found["owner_kind"], found["owner"], found["containers"]) == (
        "cart",
        "Deployment",
        "cart",
        ["server"],
    )
    assert (found["gone"], found["addresses"], found["source"]) == (True, ["10.0.0.5", "fd00::5"], "api_server")
    assert found["attributes"]["k8s.replicaset.name"] == "cart-5d9"
    assert found["started_at"] < found["ended_at"]
    (agent,) = get(client, "/pods", pod="pod-agent")["pods"]
    assert (agent["host_network"], agent["addresses"], agent["gone"], agent["ended_at"]) == (True, [], False, None)


def test_address_is_resolved_at_a_moment(client: httpx.Client, agent: RecordedAgent) -> None:
    def at(seconds: float) -> str:
        return f"{(OFFSET_NS + seconds * SECOND) / SECOND:.3f}"

    then = get(client, "/resolve", address="10.0.0.5", at=at(6))
    ResolveAnswer.model_validate(then, strict=True)
    assert (then["kind"], then["name"], then["namespace"], then["evidence"]) == ("pod", "cart", "shop", "pod")
    assert [(one["kind"], one["name"], one["evidence"]) for one in then["holders"]] == [("pod", "pod-cart", "api_server")]
    later = get(client, "/resolve", address="10.0.0.5", at=at(11))
    assert (later["kind"], later["name"], later["evidence"]) == ("network", "private", "nobody")
    assert get(client, "/resolve", address="10.96.0.1", port=443)["kind"] == "service"
    assert get(client, "/resolve", address="192.168.0.1")["name"] == "node-1"
    assert get(client, "/resolve", address="203.0.113.9")["holders"] == []


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [("/resolve", "address", "here"), ("/resolve", "at", "soon"), ("/resolve", "protocol", "icmp"), ("/pods", "address", "x")],
)
def test_what_cannot_be_asked_is_refused(client: httpx.Client, path: str, parameter: str, value: str) -> None:
    answer = client.get(API + path, params={"address": "10.0.0.5", parameter: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["parameter"] == parameter


def test_terminal_shows_pods_and_holders(
    client: httpx.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONEYGUIDE_URL", str(client.base_url))
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["pods", "--namespace", "shop"]) == 0
    printed = capsys.readouterr().out
    assert "pod-cart" in printed and "host network" in printed and "pod-db" not in printed
    assert main(["resolve", "10.96.0.1", "--port", "443"]) == 0
    assert "10.96.0.1 was service shop/web (service)" in capsys.readouterr().out
    assert main(["map", "--by", "namespace"]) == 0
