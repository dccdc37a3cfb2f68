"""What each request is about, grouped: adds the column `route`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from collector.batch import Batch, Column, Field, Schema
from collector.row_groups import group_rows
from collector.workload import UNKNOWN

ROUTES_MAX = 65_536
NOTHING, OVERFLOW = 0, 1
PATH_PROTOCOLS = ("http", "websocket")  # the resource of others is a template already: a table, a method
LONGEST_STATUS = 3
LEAST_ERROR = 400
ERRORS_ASKED = 5  # of one path in one batch: so many refusals earn a route, and fewer failures


class Routes(Protocol):
    """Templates of paths, learnt per service; bounds and remembers what it was asked."""

    def route(self, service: int, path: str, status: int) -> str:
        """status: 0 for none. '' when the path is not known."""
        ...


class RouteEnricher:
    """`route` (uint32) for batches of `request`, and a field of that name that says what the numbers mean.

    The service of a path is the one that answers: `local` for servers, `peer` for clients unless it is unknown. Each
    distinct path, service and status of a batch is asked for once: routes are earned by status, so no answer is kept here.
    """

    def __init__(self, routes: Routes, maximum: int = ROUTES_MAX) -> None:
        self._routes = routes
        self._maximum = maximum
        self._numbers: dict[str, int] = {"": NOTHING, "_OTHER": OVERFLOW}
        self._names: dict[int, str] = {NOTHING: "", OVERFLOW: "_OTHER"}
        self._field = Field("route", "request_route", self._names)
        self._schemas: dict[str, tuple[Schema, Schema]] = {}
        self._overflowed = 0

    def enrich(self, batch: Batch) -> None:
        if batch.schema.record != "request":
            return
        schema = batch.schema
        has_path = are_among(batch["protocol"], numbers_of(schema, "protocol", PATH_PROTOCOLS))
        service = np.where(has_path, services_of(batch), -1)
        status = np.where(has_path, batch["status"], 0)
        first, inverse = group_rows([batch["resource"], service, status])
        counts = np.bincount(inverse, minlength=len(first))
        resources, statuses = schema.field("resource").names, schema.field("status").names
        codes = [code_of(statuses.get(number, "")) for number in status[first].tolist()]
        paths = [resources.get(number, "") for number in batch["resource"][first].tolist()]
        asked = list(zip(service[first].tolist(), paths, codes, counts.tolist(), strict=True))
        numbers = np.empty(len(asked), np.uint32)
        for place in sorted(range(len(asked)), key=lambda place: codes[place] >= LEAST_ERROR):  # by then it may have a route
            numbers[place] = self._number(*asked[place])
        route = numbers[inverse]
        self._overflowed += int(np.count_nonzero(route == OVERFLOW))
        batch.columns["route"] = route
        batch.schema = self._with_route(schema)

    def counters(self) -> Mapping[str, int]:
        """Requests whose route found no room among the names."""
        return {"routes_overflowed": self._overflowed}

    def _number(self, service: int, resource: str, code: int, count: int) -> int:
        """service: -1 when the resource is a route as it is. count: of such requests; errors are evidence each for itself."""
        name = resource
        for _ in range(0 if service < 0 else min(count, ERRORS_ASKED) if code >= LEAST_ERROR else 1):
            name = self._routes.route(service, resource, code)
        known = self._numbers.get(name)
        if known is not None:
            return known
        if len(self._numbers) >= self._maximum:
            return OVERFLOW
        number = self._numbers[name] = len(self._numbers)
        self._names[number] = name
        return number

    def _with_route(self, schema: Schema) -> Schema:
        """The same object for the same schema: stores prepare themselves once for each."""
        known = self._schemas.get(schema.probe)
        if known is None or known[0] is not schema:
            known = schema, Schema(schema.probe, schema.record, schema.dtype, (*schema.fields, self._field))
            self._schemas[schema.probe] = known
        return known[1]


def code_of(status: str) -> int:
    """0 for what is no number."""
    return int(status) if status.isascii() and status.isdigit() and len(status) <= LONGEST_STATUS else 0


def services_of(batch: Batch) -> Column:
    """Workload number of the end that answers each request, int64 (n,); this node's end where the other is not known."""
    unknown = np.full(len(batch), UNKNOWN, np.int64)
    local = batch.columns.get("local", unknown)
    peer = batch.columns.get("peer", unknown)
    asks = are_among(batch["role"], numbers_of(batch.schema, "role", ("client",)))
    services: Column = np.where(asks & (peer != UNKNOWN), peer, local).astype(np.int64)
    return services


def numbers_of(schema: Schema, name: str, wanted: tuple[str, ...]) -> list[int]:
    """Values of the enum `name` that are called so."""
    return [number for number, text in schema.field(name).names.items() if text in wanted]


def are_among(column: Column, wanted: list[int]) -> Column:
    """bool (n,); for a few numbers much quicker than numpy.isin."""
    found = np.zeros(len(column), bool)
    for number in wanted:
        found |= column == number
    return found
