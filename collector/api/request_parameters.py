"""The query parameters of the routes about requests."""

from __future__ import annotations

from typing import Any

from collector.api.parameters import (
    NAME_RULE,
    ORDERS,
    SIDES,
    Page,
    TimeRange,
    WorkloadChoice,
    one,
    read_ports,
    several,
    words,
)
from collector.quantities import read_seconds
from collector.store.flow_filter import EndFilter
from collector.store.parameter_error import ParameterError, check_names
from collector.store.request_filter import RequestFilter
from collector.store.request_groups import GROUP_KEYS, GROUP_SORTS
from collector.store.request_query import SORTS, RequestQuery
from collector.store.requests import ENUMS

DURATIONS = "a length of time such as 250us, 100ms, 1.5s or 2m"
LONGEST_SECONDS = 1e9
NANOSECONDS = 1_000_000_000
LISTS = {
    "protocols": "protocol",
    "roles": "role",
    "outcomes": "outcome",
    "operations": "operation",
    "routes": "route",
    "statuses": "status",
    "errors": "error",
}


class RequestChoice(WorkloadChoice):
    """Which requests; all that is given must hold."""

    process: list[str] = several("Process at this node's end, by pid or by the kernel's name for it.", "nginx", NAME_RULE)
    port: list[str] = several("Port of the end that serves.", "443", "1 to 65535")
    side: str = one(
        "either",
        "Which end workload to label and process are about: this node's, the peer's or either.",
        "local",
        ", ".join(SIDES),
    )
    peer_workload: list[str] = several("Workload at the peer's end, whatever side says.", "api.example.org", NAME_RULE)
    protocol: list[str] = several("Protocol.", "http", ", ".join(ENUMS["protocol"]))
    role: list[str] = several("server: this end was asked; client: it asked.", "server", ", ".join(ENUMS["role"]))
    operation: list[str] = several("Method, command or kind of statement; letter case is the same.", "POST", NAME_RULE)
    route: list[str] = several("Template of the path; for others the table, key space or method.", "/users/*", NAME_RULE)
    status: list[str] = several("The protocol's own status, or a class of them.", "5xx", "200, 404, 5xx, 42P01, ...; * and ?")
    outcome: list[str] = several("How it ended.", "unanswered", ", ".join(ENUMS["outcome"]))
    error: list[str] = several("Kind of error; * for any.", "503", NAME_RULE)
    min_duration: str | None = one(None, "Only what took so long or longer.", "100ms", DURATIONS)

    def filter(self, since_ns: int | None = None, until_ns: int | None = None) -> RequestFilter:
        """The filter of the store; ParameterError when a value cannot be."""
        check_names("side", [self.side], SIDES)
        if self.side == "peer" and self.peer_workload:
            raise ParameterError("side", "side=peer says the same as peer_workload.", "one of the two")
        ends = {side: EndFilter() for side in SIDES}
        ends["peer"] = EndFilter(workloads=words("peer_workload", self.peer_workload))
        ends[self.side] = self.end(processes=words("process", self.process))
        lists: dict[str, Any] = {field: words(name, getattr(self, name)) for field, name in LISTS.items()}
        return RequestFilter(
            ends["either"],
            ends["local"],
            ends["peer"],
            **lists,
            ports=read_ports("port", self.port),
            min_duration_ns=_nanoseconds("min_duration", self.min_duration),
            since_ns=since_ns,
            until_ns=until_ns,
        )


class RequestParameters(RequestChoice, TimeRange, Page):
    """GET /api/v1/requests"""

    sort: str = one(
        "",
        "What to sort by; time: when the request began. Default: time, for groups requests.",
        "duration",
        ", ".join({**SORTS, **GROUP_SORTS}),
    )
    order: str = one("desc", "Largest or newest first (desc), or the other way round (asc).", "asc", ", ".join(ORDERS))
    cursor: str = one("", "next_cursor of the answer before, with otherwise the same parameters.", "WzE4OTcs...", "a next_cursor")
    group_by: list[str] = several("Sum up requests that have these in common.", "route", ", ".join(GROUP_KEYS))

    def query(self, seen_from_ns: int, now_ns: int) -> RequestQuery:
        """The query of the store; seen_from_ns: since when requests could be seen. ParameterError when a value cannot be."""
        check_names("order", [self.order], ORDERS)
        return RequestQuery(
            filter=self.filter(*self.moments(now_ns)),
            sort=self.sort,
            descending=self.order == "desc",
            limit=self.limit,
            cursor=self.cursor,
            group_by=words("group_by", self.group_by),
            seen_from_ns=seen_from_ns,
            now_ns=now_ns,
            asked=self.model_dump_json(exclude={"cursor", "limit", "format"}),
        )


def _nanoseconds(parameter: str, text: str | None) -> int:
    if text is None:
        return 0
    try:
        seconds = read_seconds(text)
    except ValueError as error:
        raise ParameterError(parameter, f"{text[:100]!r} is no length of time.", DURATIONS) from error
    if seconds > LONGEST_SECONDS:
        raise ParameterError(parameter, f"{text[:100]!r} is too long.", DURATIONS)
    return int(seconds * NANOSECONDS)
