"""Exemplars on /metrics and in OTLP point at spans that the endpoint has, and at no others."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable
from contextlib import closing

import pytest
from otlp_receiver import http_receiver, wait_for
from patience import PATIENCE_SECONDS
from played_talk import converse
from privacy_corpus import http_talk, postgresql_talk
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

HISTOGRAMS = {
    "http_server_request_duration_seconds", "http_client_request_duration_seconds", "db_client_operation_duration_seconds",
    "honeyguide_db_server_operation_duration_seconds",
}  # fmt: skip


def exemplars(agent: RunningAgent) -> dict[str, set[tuple[str, str]]]:
    """Histogram -> (trace id, span id) of its exemplars."""
    question = urllib.request.Request(agent.address + "/metrics", headers={"Accept": "application/openmetrics-text"})
    with urllib.request.urlopen(question, timeout=PATIENCE_SECONDS) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        family.name: {
            (sample.exemplar.labels["trace_id"], sample.exemplar.labels["span_id"])
            for sample in family.samples
            if sample.exemplar
        }
        for family in families
    }


def test_exemplars_lead_to_spans_that_are_there(
    start_agent: Callable[..., RunningAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with http_receiver() as receiver:
        agent = start_agent("--trace-ratio", "1", "--traces-per-second", "10000", "--otlp-endpoint", receiver.address)
        for talk in (http_talk(), postgresql_talk()):
            with closing(socket.create_server(("127.0.0.1", 0))) as listener:
                converse(talk, listener)
        wait_for(lambda: {name for name, found in exemplars(agent).items() if found} >= HISTOGRAMS)
        shown = exemplars(agent)
        wait_for(lambda: any(point.exemplars for _, metric, point in receiver.points() if metric.HasField("histogram")))
        assert agent.stop() == 0
    exported = {(span.trace_id.hex(), span.span_id.hex()) for _, span in receiver.spans()}
    assert {name for name, found in shown.items() if found} >= HISTOGRAMS  # others on this machine may talk too
    assert set().union(*shown.values()) <= exported
    pushed = {
        (one.trace_id.hex(), one.span_id.hex())
        for _, metric, point in receiver.points()
        if metric.HasField("histogram")
        for one in point.exemplars
    }
    assert pushed
    assert pushed <= exported
