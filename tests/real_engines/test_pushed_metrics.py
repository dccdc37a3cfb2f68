"""Metrics pushed to Prometheus 3.5 and to VictoriaMetrics: their answers are the server's own counts, and what a scrape gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from counted_server import CountedServer
from engine import Engine, prometheus, victoria_metrics, wait_until
from ports import free_port
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

PATHS = {"prometheus": "/api/v1/otlp/v1/metrics", "victoria-metrics": "/opentelemetry/v1/metrics"}
ENGINES: dict[str, Callable[[], Any]] = {"prometheus": prometheus, "victoria-metrics": victoria_metrics}
COUNT = "http_server_request_duration_seconds_count"
# Of the one who scrapes or who takes the push, not of the series.
PLACE = {"job", "instance", "host_name", "host_id", "__name__"}
Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(autouse=True)
def quick_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with ENGINES[request.param]() as started:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", started.address + PATHS[request.param])
        yield started


def answered(server: CountedServer, status: str, name: str = COUNT, more: str = "") -> str:
    return f'sum({name}{{server_port="{server.port}",http_response_status_code="{status}"{more}}})'


def test_answers_are_counted_as_the_server_counts_them(
    start_agent: Callable[..., RunningAgent], engine: Engine, server: CountedServer
) -> None:
    agent = start_agent("--snapshot-interval", "1s")
    server.be_asked(things=150, broken=30)
    wait_until(lambda: engine.value(answered(server, "503")) == 30)
    counts = server.counts()
    assert counts == {("/things", "200"): 150, ("/broken", "503"): 30}
    assert engine.value(answered(server, "200")) == counts["/things", "200"]
    assert engine.value(answered(server, "503")) == counts["/broken", "503"]
    everything = answered(server, "200", "http_server_request_duration_seconds_bucket", ',le="+Inf"')
    assert engine.value(everything) == counts["/things", "200"]
    assert 0 < engine.value(answered(server, "200", "http_server_request_duration_seconds_sum")) < 60
    assert agent.stop() == 0


def test_an_agent_that_starts_again_breaks_no_rate(
    start_agent: Callable[..., RunningAgent], engine: Engine, server: CountedServer
) -> None:
    """Its counters begin at 0 again, in the same series: increase() gives what came before and after."""
    first = start_agent("--snapshot-interval", "1s")
    server.be_asked(things=1, broken=0)
    wait_until(lambda: engine.value(answered(server, "200")) == 1)
    server.be_asked(things=100, broken=0)
    wait_until(lambda: engine.value(answered(server, "200")) == 101)
    assert first.stop() == 0
    second = start_agent("--snapshot-interval", "1s")
    server.be_asked(things=40, broken=0)
    wait_until(lambda: engine.value(answered(server, "200")) == 40)
    assert engine.value(answered(server, "200")) == 40
    resets = f'sum(resets({COUNT}{{server_port="{server.port}"}}[5m]))'
    assert engine.value(resets) == 1
    assert second.stop() == 0


def pages_series(engine: Engine, selector: str) -> dict[Series, float]:
    """Prometheus 3 writes le as 5.0 where it scrapes and as 5 where it is pushed."""
    found: dict[Series, float] = {}
    for labels, value in engine.query(selector):
        own = {key: str(float(text)) if key == "le" else text for key, text in labels.items() if key not in PLACE}
        found[labels["__name__"], frozenset(own.items())] = value
    return found


@contextmanager
def scraped_and_pushed(
    start_agent: Callable[..., RunningAgent], monkeypatch: pytest.MonkeyPatch, *options: str
) -> Iterator[tuple[RunningAgent, Engine]]:
    """One agent, and one Prometheus that has its numbers both ways."""
    port = free_port()
    with prometheus(f"127.0.0.1:{port}") as engine:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", engine.address + PATHS["prometheus"])
        yield start_agent("--snapshot-interval", "1s", "--listen", f"127.0.0.1:{port}", *options), engine


def test_pushed_series_are_those_of_a_scrape(
    start_agent: Callable[..., RunningAgent], server: CountedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, labels, bounds and values of the workloads' series; the agent's own have service_name as one more label."""
    server.be_asked(things=1, broken=0)
    with scraped_and_pushed(start_agent, monkeypatch) as (agent, engine):
        server.be_asked(things=60, broken=7)
        both = f'sum by (job) ({COUNT}{{http_response_status_code="503",server_port="{server.port}"}})'
        wait_until(lambda: sorted(value for _, value in engine.query(both)) == [7, 7])
        of_server = f'server_port="{server.port}"'
        scraped = pages_series(engine, f'{{job="scraped",{of_server}}}')
        pushed = pages_series(engine, f'{{job!="scraped",{of_server}}}')
        names = "{__name__=~'.+',__name__!~'scrape_.*|up'"
        all_scraped = {name for name, _ in pages_series(engine, f"{names},job='scraped'}}")}
        all_pushed = {name for name, _ in pages_series(engine, f"{names},job!='scraped'}}")}
        assert agent.stop() == 0
        said = engine.said()
    assert scraped
    assert pushed == scraped
    assert all_scraped == all_pushed
    assert "level=ERROR" not in said and "level=WARN" not in said


def test_resources_become_job_instance_and_target_info(
    start_agent: Callable[..., RunningAgent], server: CountedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with prometheus() as engine:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", engine.address + PATHS["prometheus"])
        agent = start_agent("--snapshot-interval", "1s")
        server.be_asked(things=5, broken=0)
        wait_until(lambda: engine.value(answered(server, "200")) == 5)
        ((labels, _),) = engine.query(f'{COUNT}{{server_port="{server.port}"}}')
        told = engine.query(f'target_info{{job="{labels["job"]}",instance="{labels["instance"]}"}}')
        assert agent.stop() == 0
    assert labels["job"].rpartition("/")[2] == labels["service_name"]
    assert labels["instance"]
    assert [one["host_name"] for one, _ in told] == [labels["host_name"]]


def test_exponential_histograms_become_native_ones(
    start_agent: Callable[..., RunningAgent], server: CountedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")
    with prometheus() as engine:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", engine.address + PATHS["prometheus"])
        agent = start_agent("--snapshot-interval", "1s")
        server.be_asked(things=80, broken=0)
        native = f'http_server_request_duration_seconds{{server_port="{server.port}"}}'
        either = f"sum(histogram_count({native})) or {answered(server, '200')}"
        wait_until(lambda: engine.value(either) == 80)
        assert engine.value(either) == 80
        assert agent.stop() == 0


def test_deltas_add_up_in_victoria_metrics(
    start_agent: Callable[..., RunningAgent], server: CountedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps each delta as a sample; Prometheus 3.5 takes none without a feature flag, and says so."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    with victoria_metrics() as engine:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", engine.address + PATHS["victoria-metrics"])
        agent = start_agent("--snapshot-interval", "1s")
        summed = f'sum(sum_over_time({COUNT}{{server_port="{server.port}"}}[5m]))'
        for round_number in (1, 2, 3):
            server.be_asked(things=50, broken=0)
            wait_until(lambda number=round_number: engine.value(summed) == 50 * number)
        assert engine.value(summed) == 150
        assert agent.stop() == 0
