"""Several agents, one Prometheus and one OTLP endpoint: nobody's numbers mix with another's. All replay the same."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from otlp_receiver import HttpReceiver, attributes, http_receiver, wait_for

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).resolve().parent.parent.parent
RECORDING = ROOT / "tests/data/node.recording"
NODES = ("node-1", "node-2", "node-3")
TOKEN = "token-of-this-test"


class Fleet(NamedTuple):
    """agents: their addresses. receiver: where they all push to."""

    agents: list[str]
    receiver: HttpReceiver


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """One agent for each node, started side by side."""
    words = [sys.executable, "-m", "collector", "replay", str(RECORDING), "--serve", "--listen", "127.0.0.1:0"]
    with ExitStack() as stack:
        receiver = stack.enter_context(http_receiver())
        same = {"HONEYGUIDE_TOKEN": TOKEN, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
        started = []
        for node in NODES:
            environ = {**os.environ, **same, "OTEL_RESOURCE_ATTRIBUTES": f"k8s.node.name={node}"}
            agent = subprocess.Popen(words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
            started.append(stack.enter_context(agent))
            stack.callback(agent.terminate)
        yield Fleet([find_address(agent) for agent in started], receiver)


def find_address(agent: subprocess.Popen[str]) -> str:
    assert agent.stdout is not None
    return next(line.split()[2].rstrip(".") for line in agent.stdout if line.startswith("Serving on "))


@contextmanager
def prometheus(folder: Path, targets: list[str]) -> Iterator[str]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    (folder / "token").write_text(TOKEN)
    job = {"job_name": "honeyguide", "authorization": {"credentials_file": str(folder / "token")}}
    places = [{"targets": [target.removeprefix("http://") for target in targets]}]
    configuration = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{**job, "static_configs": places}]}
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        listen = f"127.0.0.1:{unused.getsockname()[1]}"
    words = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--log.level=error"]
    with subprocess.Popen([*words, f"--web.listen-address={listen}"]) as server:
        try:
            yield f"http://{listen}"
        finally:
            server.terminate()


def ask(url: str, expression: str) -> dict[str, float]:
    """instance -> value; nothing while the server is starting."""
    try:
        response = httpx.get(f"{url}/api/v1/query", params={"query": expression})
    except httpx.TransportError:
        return {}
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # it listens before it answers
        return {}
    answer = response.json()
    return {one["metric"].get("instance", ""): float(one["value"][1]) for one in answer["data"]["result"]}


def test_prometheus_keeps_agents_apart_and_none_answers_without_the_token(fleet: Fleet, tmp_path: Path) -> None:
    names = {agent.removeprefix("http://") for agent in fleet.agents}
    with prometheus(tmp_path, fleet.agents) as url:
        wait_for(lambda: ask(url, "up == 1").keys() == names)
        rows = "sum by (instance) (honeyguide_pipeline_rows_total)"
        wait_for(lambda: ask(url, rows).keys() == names)
        assert len(set(ask(url, rows).values())) == 1
        total = "sum(honeyguide_pipeline_rows_total)"
        assert ask(url, total)[""] == 3 * next(iter(ask(url, rows).values()))
    for headers in ({}, {"Authorization": "Bearer wrong-token"}):
        assert {httpx.get(f"{agent}/metrics", headers=headers).status_code for agent in fleet.agents} == {401}


def test_an_otlp_endpoint_tells_agents_apart_by_their_node(fleet: Fleet) -> None:
    wait_for(lambda: set(series_by_node(fleet.receiver)) == set(NODES))
    wait_for(lambda: len(set(series_by_node(fleet.receiver).values())) == 1)
    assert min(series_by_node(fleet.receiver).values()) > 10


def series_by_node(receiver: HttpReceiver) -> Counter[str]:
    """How many different series of workloads each node's agent has pushed."""
    seen = {
        (str(named.get("k8s.node.name")), str(sorted(named.items())), metric.name, str(point.attributes))
        for request in list(receiver.received)
        for resource in request.resource_metrics
        if "honeyguide.workload.kind" in (named := attributes(resource.resource))
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    }
    return Counter(node for node, *_ in seen)


def test_an_agent_ends_in_time_although_everything_that_it_sends_to_is_silent() -> None:
    with ExitStack() as stack:
        silent = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0), backlog=64)))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
        words = [sys.executable, "-m", "collector", "replay", str(RECORDING), "--serve", "--listen", "127.0.0.1:0"]
        words += ["--clickhouse-url", address, "--clickhouse-batch-seconds", "1s"]
        agent = stack.enter_context(subprocess.Popen(words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True))
        url = find_address(agent)
        wait_for(lambda: waiting_rows(url) > 0)
        agent.terminate()
        assert agent.wait(30) == 0  # no answer that it waits for ever comes


def waiting_rows(url: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("honeyguide_clickhouse_spool_rows "))
