"""A real agent pushes to a real endpoint: the numbers are those of /metrics, and a bad endpoint harms nothing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from otlp_receiver import (
    Handler,
    Received,
    answer_drop_by_drop,
    answer_with,
    attributes,
    grpc_receiver,
    hang,
    http_receiver,
    wait_for,
)
from prometheus_client.parser import text_string_to_metric_families
from started_agent import RunningAgent

from collector.export.prometheus_families import attribute_labels
from collector.export.prometheus_names import family_name, sample_names
from collector.instruments import Instrument, InstrumentKind
from collector.settings import Settings

pytestmark = pytest.mark.end_to_end

Series = tuple[str, frozenset[tuple[str, str]]]
CONNECTS = 23
RESOURCE_LABELS = set(Settings().prometheus_labels)


@pytest.fixture(autouse=True)
def quick_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "300")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "500")


def refuse_connects(folder: Path) -> str:
    """A program with a name of its own tries to connect where nobody listens, `CONNECTS` times; its name."""
    program = folder / f"caller{time.monotonic_ns() % 100_000}"
    shutil.copy("/bin/bash", program)
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port = unused.getsockname()[1]
    script = f"for i in $(seq {CONNECTS}); do (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; done"
    subprocess.run([program, "-c", script], check=False)
    return program.name


def pushed_counters(received: Received, first: int) -> dict[Series, float]:
    """Prometheus name and labels -> the last value of each counter of the requests from number `first` on."""
    found: dict[Series, float] = {}
    for request in received.received[first:]:
        for resource in request.resource_metrics:
            named = attributes(resource.resource)
            agent = named["service.name"] == "honeyguide" and "honeyguide.workload.kind" not in named
            own = {} if agent else {key: value for key, value in named.items() if key in RESOURCE_LABELS}
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics if metric.sum.is_monotonic):
                instrument = Instrument(metric.name, InstrumentKind.COUNTER, metric.unit, "")
                name = sample_names(family_name(instrument), instrument.kind)[0]
                for point in metric.sum.data_points:
                    labels = attribute_labels({**own, **attributes(point)})  # type: ignore[dict-item]
                    found[name, frozenset(labels.items())] = point.as_double
    return found


def scraped_counters(agent: RunningAgent) -> dict[Series, float]:
    families = [one for one in text_string_to_metric_families(agent.get("/metrics")) if one.type == "counter"]
    samples = [sample for family in families for sample in family.samples]
    return {(one.name, frozenset((k, v) for k, v in one.labels.items() if v)): one.value for one in samples}


def check_against_metrics(agent: RunningAgent, received: Received, folder: Path) -> None:
    """What was pushed lies between what /metrics said before and after, and nothing is missing."""
    caller = refuse_connects(folder)
    failed = [("service_name", caller), ("honeyguide_flow_outcome", "refused")]
    wait_for(lambda: CONNECTS in [value for (_, labels), value in scraped_counters(agent).items() if labels >= set(failed)])
    before, first = scraped_counters(agent), len(received.received)
    wait_for(lambda: len(received.received) >= first + 3)
    pushed, after = pushed_counters(received, first), scraped_counters(agent)
    lasting = {one: (low, after[one]) for one, low in before.items() if one in after}  # others on this machine come and go
    assert lasting.keys() <= pushed.keys()
    wrong = {one: (low, pushed[one], high) for one, (low, high) in lasting.items() if not low <= pushed[one] <= high}
    assert wrong == {}
    assert [value for (_, labels), value in pushed.items() if labels >= set(failed)] == [CONNECTS]


def test_numbers_over_http_are_those_of_metrics(
    start_agent: Callable[..., RunningAgent], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        agent = start_agent("--snapshot-interval", "1s")
        check_against_metrics(agent, receiver, tmp_path)
        assert agent.stop() == 0


def test_numbers_over_grpc_are_those_of_metrics(
    start_agent: Callable[..., RunningAgent], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("grpc")
    with grpc_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        agent = start_agent("--snapshot-interval", "1s", "--otlp-endpoint", receiver.address)
        check_against_metrics(agent, receiver, tmp_path)
        assert agent.stop() == 0


def test_deltas_add_up_to_what_happened_although_some_were_refused(
    start_agent: Callable[..., RunningAgent], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    accepted = Received()

    def refuse_every_second(handler: Handler) -> None:
        handler.take()
        refused = len(handler.receiver.received) % 2
        if not refused:
            accepted.received.append(handler.receiver.received[-1])
        handler.answer(500 if refused else 200)

    with http_receiver(refuse_every_second) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
        agent = start_agent("--snapshot-interval", "1s")
        callers = {refuse_connects(tmp_path) for _ in range(2)}
        wait_for(lambda: all(failed_of(accepted, caller) == CONNECTS for caller in callers))
        assert agent.stop() == 0
    assert {failed_of(accepted, caller) for caller in callers} == {CONNECTS}


def failed_of(accepted: Received, caller: str) -> float:
    return sum(
        float(point.as_double)
        for name, metric, point in list(accepted.points())
        if name[:2] == (caller, "honeyguide.tcp.connections.failed") and metric.sum.aggregation_temporality == 1
    )


@contextmanager
def refusing() -> Iterator[Any]:
    """An address where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    yield type("Nobody", (), {"address": address})


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        pytest.param(lambda: http_receiver(hang), "failed_timeout", id="hangs"),
        pytest.param(lambda: http_receiver(answer_drop_by_drop), "failed_timeout", id="answers drop by drop"),
        pytest.param(lambda: http_receiver(answer_with(500)), "failed_server_error", id="server error"),
        pytest.param(refusing, "failed_refused", id="refuses"),
    ],
)
def test_bad_endpoint_is_counted_costs_no_memory_and_does_not_delay_the_end(
    start_agent: Callable[..., RunningAgent], monkeypatch: pytest.MonkeyPatch, endpoint: Callable[[], Any], reason: str
) -> None:
    with endpoint() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        agent = start_agent()
        wait_for(lambda: failures(agent, reason) > 0)
        before, first = resident_bytes(agent), failures(agent, reason)
        wait_for(lambda: failures(agent, reason) > 3 * first)
        assert resident_bytes(agent) - before < 20_000_000
        assert agent.stop() == 0
        assert "fails" in agent.log.read_text()


def failures(agent: RunningAgent, reason: str) -> float:
    found = scraped_counters(agent)
    return found.get(("honeyguide_otlp_points_total", frozenset({("honeyguide_outcome", reason)})), 0.0)


def resident_bytes(agent: RunningAgent) -> int:
    return int(Path(f"/proc/{agent.process.pid}/statm").read_text().split()[1]) * 4096
