"""The column `route`: templates per service for paths, the resource itself for everything else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from request_rows import CLIENT, SERVER, RequestRows

from collector.batch import Batch
from collector.decode.request_record import request_batch
from collector.decode.routes import OTHER_ROUTE, RouteTable
from collector.enrich.route_enricher import RouteEnricher
from enrich.batches import batch_of, schema_of


class Asked:
    """Routes that say what they were asked."""

    def __init__(self) -> None:
        self.questions: list[tuple[int, str, int]] = []

    def route(self, service: int, path: str, status: int) -> str:
        self.questions.append((service, path, status))
        return f"{service}{path}"


def requests(*rows: dict[str, Any], probe: str = "socket_data") -> Batch:
    """local, peer: workload numbers; the rest as RequestRows takes it."""
    made = RequestRows(probe)
    for row in rows:
        made.add(**{"protocol": "http", **{name: value for name, value in row.items() if name not in ("local", "peer")}})
    batch = request_batch(made.schema, made.rows)
    batch.columns = {side: np.array([row.get(side, 0) for row in rows], np.int32) for side in ("local", "peer")}
    return batch


def routes_of(batch: Batch) -> list[str]:
    return [batch.schema.field("route").names[number] for number in batch["route"].tolist()]


def test_ids_become_a_template_of_the_service_that_answers() -> None:
    batch = requests(*({"resource": f"/users/{number}", "status": "200", "local": 3} for number in range(4000, 4030)))
    RouteEnricher(RouteTable()).enrich(batch)
    assert set(routes_of(batch)) == {"/users/:id"}
    assert batch["route"].dtype == np.uint32


def test_errors_of_one_batch_are_evidence_each_for_itself() -> None:
    failing = [{"resource": "/broken", "status": "503", "local": 3}] * 3
    absent = [{"resource": f"/scan{number}", "status": "404", "local": 3} for number in range(3)]
    batch = requests(*failing, *absent)
    RouteEnricher(RouteTable()).enrich(batch)
    assert routes_of(batch) == ["/broken"] * 3 + [OTHER_ROUTE] * 3


@pytest.mark.parametrize("service", range(20))
def test_an_error_has_the_route_that_other_answers_of_its_batch_earn(service: int) -> None:
    """Whatever the order in which the groups of the batch come, which is that of their hashes."""
    batch = requests(*({"resource": "/carts/17", "status": status, "local": service} for status in ("500", "200")))
    RouteEnricher(RouteTable()).enrich(batch)
    assert routes_of(batch) == ["/carts/:id"] * 2


def test_the_service_is_who_answers_and_who_asks_only_when_nobody_knows_better() -> None:
    routes = Asked()
    batch = requests(
        {"resource": "/a", "role": SERVER, "local": 3, "peer": 4},
        {"resource": "/a", "role": CLIENT, "local": 3, "peer": 4},
        {"resource": "/a", "role": CLIENT, "local": 3, "peer": 0},
    )
    RouteEnricher(routes).enrich(batch)
    assert routes_of(batch) == ["3/a", "4/a", "3/a"]


def test_each_distinct_question_of_a_batch_is_asked_once_and_about_errors_a_few_times() -> None:
    routes = Asked()
    rows = [{"resource": "/a", "status": status, "local": 3} for status in ("200", "404", "", "200") * 100]
    RouteEnricher(routes).enrich(requests(*rows))
    assert Counter(routes.questions) == {(3, "/a", 0): 1, (3, "/a", 200): 1, (3, "/a", 404): 5}


@pytest.mark.parametrize("protocol", ["grpc", "postgresql", "mysql", "redis", "dns", "unknown"])
def test_what_has_no_path_is_its_own_route(protocol: str) -> None:
    routes = Asked()
    batch = requests({"protocol": protocol, "resource": "orders", "status": "42P01"}, {"protocol": protocol})
    RouteEnricher(routes).enrich(batch)
    assert routes_of(batch) == ["orders", ""]
    assert routes.questions == []


def test_equal_numbers_of_two_probes_are_two_texts() -> None:
    enricher = RouteEnricher(Asked())
    first, second = requests({"resource": "/a"}), requests({"resource": "/b"}, probe="tls_data")
    assert first["resource"].tolist() == second["resource"].tolist()
    for batch in (first, second):
        enricher.enrich(batch)
    assert (routes_of(first), routes_of(second)) == (["0/a"], ["0/b"])


def test_a_schema_is_completed_once() -> None:
    enricher = RouteEnricher(Asked())
    one = requests({"resource": "/a"})
    other = request_batch(one.schema, one.rows)
    for batch in (one, other):
        enricher.enrich(batch)
    assert one.schema is other.schema


def test_scanners_share_one_route() -> None:
    enricher = RouteEnricher(RouteTable())
    enricher.enrich(requests({"resource": "/users/1", "status": "200"}))
    batch = requests(*({"resource": f"/wp{chr(97 + number % 26)}/x{number}.php", "status": "404"} for number in range(2000)))
    enricher.enrich(batch)
    assert set(routes_of(batch)) == {OTHER_ROUTE}


def test_more_routes_than_there_is_room_for_are_counted() -> None:
    enricher = RouteEnricher(Asked(), maximum=4)
    batch = requests(*({"resource": f"/{number}"} for number in range(5)))
    enricher.enrich(batch)
    assert routes_of(batch).count("_OTHER") == 3
    assert enricher.counters() == {"routes_overflowed": 3}


def test_other_records_and_empty_batches_are_left_alone() -> None:
    other = batch_of(schema_of("tcp_connection", [("process", "<u4", "process_id")]), {"process": 1})
    RouteEnricher(Asked()).enrich(other)
    assert other.columns == {}
    empty = requests()
    RouteEnricher(Asked()).enrich(empty)
    assert len(empty["route"]) == 0


def test_requests_without_owner_columns_still_have_a_route() -> None:
    batch = requests({"resource": "/a", "role": CLIENT})
    batch.columns = {}
    RouteEnricher(Asked()).enrich(batch)
    assert routes_of(batch) == ["0/a"]
