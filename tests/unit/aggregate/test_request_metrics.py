"""What requests become on the way to exporters: OpenTelemetry's instruments with its attributes and buckets, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from request_rows import CLIENT, SERVER, RequestRows

from collector.aggregate.aggregator import AggregateSettings, Aggregator
from collector.catalog.probe_folder import read_manifest
from collector.decode.request_record import request_batch
from collector.decode.routes import RouteTable
from collector.enrich.route_enricher import RouteEnricher
from collector.instruments import AttributeValue, HistogramValue, InstrumentSnapshot
from collector.workload import Workload, WorkloadKind

PROBES = Path(__file__).resolve().parents[3] / "probes"
SHOP, DATABASE = 3, 4
NAMES = {SHOP: "shop", DATABASE: "database"}
# Semantic conventions 1.41: advised buckets.
LATENCY = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
OPERATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
MILLISECOND = 1_000_000
GET: dict[str, Any] = {"protocol": "http", "operation": "GET", "resource": "/carts/17", "status": "200", "server_port": 8080}
CALL: dict[str, Any] = {
    "protocol": "grpc",
    "operation": "POST",
    "resource": "shop.Cart/Add",
    "status": "OK",
    "server_port": 50051,
}
QUERY: dict[str, Any] = {
    "protocol": "postgresql", "operation": "SELECT", "resource": "carts", "system": "postgresql", "namespace": "shop",
    "server_port": 5432,
}  # fmt: skip


def name_workload(number: int) -> Workload:
    return Workload(number, WorkloadKind.UNIT, NAMES[number])


def measure(*rows: Mapping[str, Any], probe: str = "socket_data") -> dict[str, InstrumentSnapshot]:
    """The instruments that have points after these requests of `shop` to or from `database`."""
    made = RequestRows(probe)
    for row in rows:
        made.add(**{"duration": 3 * MILLISECOND, **row})
    batch = request_batch(made.schema, made.rows)
    batch.columns = {"local": np.full(len(rows), SHOP, np.int32), "peer": np.full(len(rows), DATABASE, np.int32)}
    RouteEnricher(RouteTable()).enrich(batch)
    aggregator = Aggregator(AggregateSettings(), name_workload)
    aggregator.add_probe(probe, read_manifest(PROBES / probe), {})
    aggregator.add(batch, 1000.0)
    assert aggregator.rejected == {}
    return {one.instrument.name: one for one in aggregator.snapshot() if one.points}


def series(one: InstrumentSnapshot) -> list[tuple[dict[str, AttributeValue], int]]:
    """(attributes without those of the peer, count)."""
    found = []
    for point in one.points:
        assert isinstance(point.value, HistogramValue)
        assert point.workload == name_workload(SHOP)
        assert point.attributes["service.peer.name"] == "database"
        found.append(({name: value for name, value in point.attributes.items() if "peer" not in name}, point.value.count))
    return found


@pytest.mark.parametrize(("role", "side", "route"), [(SERVER, "server", "http.route"), (CLIENT, "client", "url.template")])
def test_http_requests_have_the_attributes_of_the_conventions(role: int, side: str, route: str) -> None:
    found = measure({**GET, "role": role, "request_body_bytes": 0, "response_body_bytes": 5000})
    attributes = {
        "http.request.method": "GET", "http.response.status_code": 200, route: "/carts/:id", "server.port": 8080,
        "url.scheme": "http",
    }  # fmt: skip
    assert set(found) == {f"http.{side}.{name}" for name in ("request.duration", "request.body.size", "response.body.size")}
    assert all(series(one) == [(attributes, 1)] for one in found.values())
    assert found[f"http.{side}.request.duration"].instrument.buckets == LATENCY
    assert {one.instrument.unit for one in found.values()} == {"s", "By"}


def test_requests_under_tls_say_so() -> None:
    ((attributes, _),) = series(measure({**GET, "role": SERVER}, probe="tls_data")["http.server.request.duration"])
    assert attributes["url.scheme"] == "https"


def test_size_that_nobody_knows_is_not_counted() -> None:
    found = measure({**GET, "request_body_bytes": -1, "response_body_bytes": 0})
    assert "http.server.request.body.size" not in found
    assert next(iter(found["http.server.response.body.size"].points)).value == HistogramValue([1] + [0] * 12, 0.0, 1)


@pytest.mark.parametrize(("role", "side"), [(SERVER, "server"), (CLIENT, "client")])
def test_calls_have_the_attributes_of_the_conventions(role: int, side: str) -> None:
    found = measure({**CALL, "role": role}, {**CALL, "role": role, "status": "UNAVAILABLE", "error_type": "UNAVAILABLE"})
    common = {"rpc.system.name": "grpc", "rpc.method": "shop.Cart/Add", "server.port": 50051}
    name = f"rpc.{side}.call.duration"
    assert set(found) == {name}
    assert {attributes["rpc.response.status_code"]: (attributes, count) for attributes, count in series(found[name])} == {
        "OK": ({**common, "rpc.response.status_code": "OK"}, 1),
        "UNAVAILABLE": ({**common, "rpc.response.status_code": "UNAVAILABLE", "error.type": "UNAVAILABLE"}, 1),
    }
    assert found[name].instrument.buckets == LATENCY


@pytest.mark.parametrize(
    ("role", "name"), [(CLIENT, "db.client.operation.duration"), (SERVER, "honeyguide.db.server.operation.duration")]
)
def test_database_operations_have_the_attributes_of_the_conventions(role: int, name: str) -> None:
    redis = {"protocol": "redis", "operation": "GET", "system": "redis", "server_port": 6379}
    failed = {**QUERY, "status": "42P01", "error_type": "42P01", "outcome": "error"}
    found = measure(*({**row, "role": role} for row in (QUERY, redis, failed)))
    common = {
        "db.system.name": "postgresql", "db.namespace": "shop", "db.operation.name": "SELECT", "db.collection.name": "carts",
        "server.port": 5432,
    }  # fmt: skip
    assert set(found) == {name}
    wanted = [
        (common, 1),
        ({"db.system.name": "redis", "db.operation.name": "GET", "server.port": 6379}, 1),
        ({**common, "db.response.status_code": "42P01", "error.type": "42P01"}, 1),
    ]
    assert sorted((sorted(one.items()), count) for one, count in series(found[name])) == sorted(
        (sorted(one.items()), count) for one, count in wanted
    )
    assert found[name].instrument.buckets == OPERATION


def test_what_had_no_answer_is_an_error_of_its_own() -> None:
    waiting = {**GET, "status": "", "outcome": "unanswered", "duration": 0}
    broken = {**CALL, "status": "", "outcome": "error"}
    found = measure(waiting, broken)
    assert [attributes["error.type"] for attributes, _ in series(found["http.server.request.duration"])] == ["unanswered"]
    assert [attributes["error.type"] for attributes, _ in series(found["rpc.server.call.duration"])] == ["_OTHER"]


def test_a_thousand_routes_of_one_instrument_are_bounded_and_all_requests_counted() -> None:
    rows = [{**CALL, "resource": f"shop.Cart/Method{number}"} for number in range(2500)]
    points = measure(*rows)["rpc.server.call.duration"].points
    values = [point.value for point in points]
    assert len(points) == 2001
    assert sum(value.count for value in values if isinstance(value, HistogramValue)) == 2500
    assert sum("otel.metric.overflow" in point.attributes for point in points) == 1
