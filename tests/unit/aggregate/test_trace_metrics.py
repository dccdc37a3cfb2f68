"""Span metrics and service graph metrics: the names, labels and numbers that Grafana's views ask for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from request_rows import CLIENT, SERVER, RequestRows

from collector.aggregate.trace_metrics import TraceMetrics, TraceMetricsSettings
from collector.batch import Batch
from collector.decode.request_record import request_batch
from collector.decode.routes import RouteTable
from collector.enrich.route_enricher import RouteEnricher
from collector.export.prometheus import render
from collector.instruments import Snapshot
from collector.workload import Workload, WorkloadKind

NOWHERE, WEB, CART, DATABASE, WORLD = range(5)
WORKLOADS = {
    NOWHERE: Workload(NOWHERE, WorkloadKind.UNKNOWN, ""),
    WEB: Workload(WEB, WorkloadKind.POD, "web", "shop"),
    CART: Workload(CART, WorkloadKind.POD, "cart", "shop"),
    DATABASE: Workload(DATABASE, WorkloadKind.UNIT, "postgresql"),
    WORLD: Workload(WORLD, WorkloadKind.NETWORK, "internet"),
}
BOTH = TraceMetricsSettings(spans=True, graph=True)
GET: dict[str, Any] = {"protocol": "http", "operation": "GET", "resource": "/carts/17", "status": "200", "duration": 3_000_000}


def batch_of(*rows: Mapping[str, Any]) -> Batch:
    """local, peer: workload numbers; the rest as RequestRows takes it."""
    made = RequestRows()
    for row in rows:
        made.add(**{name: value for name, value in row.items() if name not in ("local", "peer")})
    batch = request_batch(made.schema, made.rows)
    batch.columns = {side: np.array([row[side] for row in rows], np.int32) for side in ("local", "peer")}
    RouteEnricher(RouteTable()).enrich(batch)
    return batch


def page(*batches: Batch, settings: TraceMetricsSettings = BOTH) -> list[str]:
    """Lines of /metrics that begin with traces_."""
    metrics = TraceMetrics(settings, WORKLOADS.__getitem__)
    for batch in batches:
        metrics.add(batch, 1000.0)
    pieces, _ = render(Snapshot(1001.0, metrics.snapshot()), "text/plain")
    return [line for line in b"".join(pieces).decode().splitlines() if line.startswith("traces_")]


def counts(lines: list[str], name: str) -> dict[str, int]:
    """labels -> value of the samples of that name."""
    wanted = [line.removeprefix(name) for line in lines if line.startswith(name + "{")]
    return {labels.strip("{}"): int(value) for labels, value in (line.rsplit(" ", 1) for line in wanted)}


def asked_and_served(**more: Any) -> list[dict[str, Any]]:
    """One request, as both of its ends saw it."""
    return [
        {**GET, "role": CLIENT, "local": WEB, "peer": CART, "duration": 5_000_000, **more},
        {**GET, "role": SERVER, "local": CART, "peer": WEB, **more},
    ]


def test_spans_are_counted_by_service_name_kind_and_status() -> None:
    failed = {**GET, "role": SERVER, "local": CART, "peer": WEB, "status": "500", "error_type": "500", "outcome": "error"}
    lines = page(batch_of(*asked_and_served(), *asked_and_served(), failed))
    workload = 'honeyguide_workload_kind="pod",service="{0}",service_name="{0}",service_namespace="shop"'
    span = 'span_kind="SPAN_KIND_{}",span_name="GET /carts/:id",status_code="STATUS_CODE_{}"'
    expected = {
        f"{workload.format('web')},{span.format('CLIENT', 'UNSET')}": 2,
        f"{workload.format('cart')},{span.format('SERVER', 'UNSET')}": 2,
        f"{workload.format('cart')},{span.format('SERVER', 'ERROR')}": 1,
    }
    assert counts(lines, "traces_spanmetrics_calls_total") == expected
    assert counts(lines, "traces_spanmetrics_latency_count") == expected
    assert any(line.startswith("traces_spanmetrics_latency_bucket") and 'le="0.004"' in line for line in lines)


def test_request_between_two_workloads_is_one_edge_counted_once() -> None:
    lines = page(batch_of(*asked_and_served(), *asked_and_served(error_type="500", outcome="error")))
    edge = 'client="web",client_service_namespace="shop",connection_type="",server="cart",server_service_namespace="shop"'
    assert counts(lines, "traces_service_graph_request_total") == {edge: 2}
    assert counts(lines, "traces_service_graph_request_failed_total") == {edge: 1}
    assert counts(lines, "traces_service_graph_request_server_seconds_count") == {edge: 2}
    assert counts(lines, "traces_service_graph_request_client_seconds_count") == {edge: 2}
    (total,) = [line for line in lines if line.startswith("traces_service_graph_request_client_seconds_sum")]
    assert float(total.rsplit(" ", 1)[1]) == pytest.approx(0.01)


def test_databases_and_what_is_outside_say_what_kind_of_edge_it_is() -> None:
    query = {"protocol": "postgresql", "operation": "SELECT", "resource": "carts", "duration": 1_000_000}
    lines = page(
        batch_of(
            {**query, "role": SERVER, "local": DATABASE, "peer": CART},
            {**GET, "role": SERVER, "local": WEB, "peer": WORLD},
            {**GET, "role": CLIENT, "local": CART, "peer": NOWHERE},
        )
    )
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', one)) for one in counts(lines, "traces_service_graph_request_total")]
    kinds = {(one["client"], one["server"], one["connection_type"]) for one in labels}
    assert kinds == {
        ("cart", "postgresql", "database"),
        ("internet", "web", "virtual_node"),
        ("cart", "unknown", "virtual_node"),
    }


def test_nothing_is_made_unless_it_is_asked_for() -> None:
    batch = batch_of(*asked_and_served())
    assert page(batch, settings=TraceMetricsSettings()) == []
    assert all("spanmetrics" in line for line in page(batch, settings=TraceMetricsSettings(spans=True)))
    assert all("service_graph" in line for line in page(batch, settings=TraceMetricsSettings(graph=True)))


def test_series_are_bounded_and_those_of_the_gone_go() -> None:
    metrics = TraceMetrics(TraceMetricsSettings(spans=True, graph=True, max_series=10), WORKLOADS.__getitem__)
    calls = [
        {"protocol": "grpc", "resource": f"shop.Cart/Method{number}", "role": SERVER, "local": CART, "peer": WEB}
        for number in range(30)
    ]
    metrics.add(batch_of(*calls), 1000.0)
    assert {one.instrument: (one.active, one.overflowed) for one in metrics.counts()}["traces.spanmetrics.calls"] == (10, 20)
    assert sum(point.value for point in metrics.snapshot()[0].points if isinstance(point.value, float)) == 30
    metrics.remove_series_of(lambda number: 2000.0 if number == CART else -math.inf)
    assert all(one.active == 0 for one in metrics.counts())
