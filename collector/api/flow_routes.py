"""Routes that answer with flows or lookups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from collector.api.event_stream import Events
from collector.api.flow_answers import FlowsAnswer, GroupsAnswer, LookupsAnswer, group_record
from collector.api.flow_records import FLOW_COLUMNS, flow_pieces, flow_records
from collector.api.lookup_records import LOOKUP_COLUMNS, lookup_pieces
from collector.api.node_records import MapAnswer, map_record
from collector.api.parameters import FlowChoice, FlowParameters, LookupParameters, MapParameters
from collector.api.refusals import REFUSED_TEXTS
from collector.api.row_formats import Table, answer, choose_format
from collector.api.stored import Stored, take
from collector.api.view import AgentView
from collector.batch import Rows
from collector.store.flow_filter import FlowFilter, compile_filter
from collector.store.flow_groups import SUMS
from collector.store.flow_query import FlowPage, FlowQuery, run
from collector.store.lookups import find_lookups
from collector.store.map_nodes import MapNodes
from collector.store.request_edges import requests_of_edges
from collector.store.row_tests import Test
from collector.store.service_map import draw_map

Accept = Annotated[str, Header(include_in_schema=False)]
OTHER_FORMATS: dict[str, Any] = {
    "application/x-ndjson": {"schema": {"type": "string", "description": "One record a line. Headers: X-Total, X-Next-Cursor."}},
    "text/csv": {"schema": {"type": "string", "description": "A header line, then one record a line; empty: null."}},
}


def describe_events(name: str, record: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a stream whose rows are such records in events of that name."""
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    texts = {**REFUSED_TEXTS, 429: "As many readers follow already as may."}
    return {
        200: {
            "description": f"Events `{name}`, `lost` and `end`; the data of `{name}` is a {record}.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **{status: {"description": text, "content": refused} for status, text in texts.items()},
    }


def several_formats(description: str) -> dict[int | str, dict[str, Any]]:
    """The 200 of a route whose rows come as JSON, NDJSON or CSV."""
    return {200: {"description": description, "content": OTHER_FORMATS}}


def flow_table(page: FlowPage, query: FlowQuery, stored: Stored, head: dict[str, Any]) -> Table:
    """A page of flows or of groups, ready to be written."""
    if query.group_by:
        records = [group_record(group) for group in page.groups]
        return Table("groups", (*dict.fromkeys(query.group_by), *SUMS), [records], head)
    return Table("flows", FLOW_COLUMNS, flow_pieces(page.rows, stored.flows.names, stored.names), head)


class FlowRoutes:
    """stopping: tells streams that the server wants to end."""

    def __init__(self, agent: AgentView, stopping: Callable[[], bool]) -> None:
        self._agent = agent
        self._stopping = stopping

    def router(self) -> APIRouter:
        """All of them, without a prefix."""
        router = APIRouter(tags=["traffic"])
        formats = several_formats("Flows, or groups of them.")
        router.add_api_route("/flows", self.flows, response_model=FlowsAnswer | GroupsAnswer, responses=formats)
        events = describe_events("flow", "FlowRecord")
        router.add_api_route("/flows/stream", self.follow, response_class=Events, status_code=200, responses=events)
        formats = several_formats("Name lookups, newest first.")
        router.add_api_route("/lookups", self.lookups, response_model=LookupsAnswer, responses=formats)
        router.add_api_route("/services/map", self.services_map, response_model=MapAnswer)
        return router

    def flows(self, asked: Annotated[FlowParameters, Query()], accept: Accept = "") -> Response:
        """Connections and conversations, open ones and those that ended, newest first; or sums of them with `group_by`.

        A connection inside the node is two flows, one for each end. `workload=a&peer_workload=b` asks for what a has with b.
        """
        stored = take(self._agent)
        query = asked.query(stored.now_ns)
        chosen = choose_format(asked.format, accept)
        page = run(query, stored.flows, stored.names)
        head = {"total": page.total, "next_cursor": page.cursor or None, "complete": stored.complete_flows(self._agent)}
        return answer(flow_table(page, query, stored, head), chosen)

    def follow(self, asked: Annotated[FlowChoice, Query()]) -> Response:
        """Flows as they begin and as they end, as server-sent events.

        `flow`: a flow that is new or has ended; `lost`: you read too slowly and missed that many rows; `end`: the agent stops.
        """
        wanted = asked.filter()
        self._matching(wanted, take(self._agent))  # what cannot be asked is refused now, not in the middle

        def records(rows: Rows) -> list[dict[str, Any]]:
            stored = take(self._agent)
            fitting = rows[self._matching(wanted, stored)(rows)]
            return flow_records(fitting, stored.flows.names, stored.names)

        return Events(self._agent.flows.followers, records, self._stopping, "flow")

    @staticmethod
    def _matching(wanted: FlowFilter, stored: Stored) -> Test:
        return compile_filter(wanted, stored.flows.names, stored.names)

    def lookups(self, asked: Annotated[LookupParameters, Query()], accept: Accept = "") -> Response:
        """DNS lookups: who asked for what, what came back, and how long it took."""
        stored = take(self._agent)
        chosen = choose_format(asked.format, accept)
        page = find_lookups(asked.query(stored.now_ns), stored.lookups, stored.names)
        head = {"total": page.total, "next_cursor": page.cursor or None, "complete": stored.complete_lookups(self._agent)}
        pieces = lookup_pieces(page.rows, stored.lookups.names, stored.names)
        return answer(Table("lookups", LOOKUP_COLUMNS, pieces, head), chosen)

    def services_map(self, asked: Annotated[MapParameters, Query()]) -> dict[str, Any]:
        """Who calls whom: workloads as nodes, their connections as edges from client to server, with the requests over them."""
        stored = take(self._agent)
        since, until = asked.moments(stored.now_ns)
        nodes = MapNodes(stored.names, asked.by)
        edges, total = draw_map(asked.filter(since, until), asked.limit, stored.flows, stored.names, nodes)
        requests = requests_of_edges(since, until, stored.requests, stored.names, nodes)
        return map_record(edges, total, requests, nodes)
