"""Spans and metrics through collectors of other teams, by gRPC and HTTP with gzip: all arrive once, as they were sent."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from counted_server import CountedServer
from engine import Engine, collector, rotel, wait_until
from otlp_receiver import HttpReceiver, attributes, http_receiver
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

COLLECTORS: dict[str, Callable[[str], Any]] = {"collector": collector, "rotel": rotel}
ALL = ("--trace-ratio", "1", "--traces-per-second", "10000", "--snapshot-interval", "1s")


@contextmanager
def collecting(kind: str, protocol: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Engine, HttpReceiver]]:
    with http_receiver() as receiver, COLLECTORS[kind](receiver.address) as engine:
        grpc, http = engine.ports
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{grpc if protocol == 'grpc' else http}")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        yield engine, receiver


def server_spans(receiver: HttpReceiver, server: CountedServer) -> list[Any]:
    """Of what nginx answered; kind 2 is SERVER."""
    return [span for _, span in receiver.spans() if span.kind == 2 and attributes(span).get("server.port") == server.port]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("kind", sorted(COLLECTORS))
def test_every_answer_arrives_as_one_span_and_in_the_counts(
    start_agent: Callable[..., RunningAgent], server: CountedServer, monkeypatch: pytest.MonkeyPatch, kind: str, protocol: str
) -> None:
    if protocol == "grpc":
        pytest.importorskip("grpc")
    with collecting(kind, protocol, monkeypatch) as (_, receiver):
        agent = start_agent(*ALL)
        server.be_asked(things=90, broken=10)
        wait_until(lambda: len(server_spans(receiver, server)) >= 100)
        spans = server_spans(receiver, server)
        wait_until(lambda: counted(receiver, server) == 100)
        assert counted(receiver, server) == 100
        assert agent.stop() == 0
    assert len(spans) == len({span.span_id for span in spans}) == 100
    assert sorted(attributes(span)["http.response.status_code"] for span in spans) == [200] * 90 + [503] * 10
    assert {attributes(span)["http.response.status_code"] for span in spans if span.status.code == 2} == {503}
    assert all(len(span.trace_id) == 16 and span.end_time_unix_nano >= span.start_time_unix_nano for span in spans)
    known = {(span.trace_id, span.span_id) for _, span in receiver.spans()}
    parents = [(span.trace_id, span.parent_span_id) for span in spans if span.parent_span_id]
    assert set(parents) <= known


def counted(receiver: HttpReceiver, server: CountedServer) -> int:
    """By the histogram that arrived last, over its streams."""
    return sum(
        point.count
        for (_, metric, labels), point in receiver.streams().items()
        if metric == "http.server.request.duration" and ("server.port", server.port) in labels
    )


@pytest.mark.parametrize("kind", sorted(COLLECTORS))
def test_a_killed_collector_costs_nothing_that_is_not_counted(
    start_agent: Callable[..., RunningAgent], server: CountedServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Spans wait in the agent while nobody listens; metrics are in the next interval's numbers."""
    with collecting(kind, "http/protobuf", monkeypatch) as (engine, receiver):
        agent = start_agent(*ALL)
        server.be_asked(things=20, broken=0)
        wait_until(lambda: len(server_spans(receiver, server)) == 20)
        engine.stop(signal.SIGKILL)
        server.be_asked(things=30, broken=0)
        wait_until(lambda: 'honeyguide_outcome="failed_refused"' in agent.get("/metrics"))
        engine.start()  # spans are tried five times, for 15 s in all
        wait_until(lambda: len(server_spans(receiver, server)) == 50 and counted(receiver, server) == 50)
        assert counted(receiver, server) == 50
        assert len(server_spans(receiver, server)) == 50
        assert agent.stop() == 0
