"""Routes that answer with requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from collector.api.event_stream import Events
from collector.api.flow_routes import Accept, describe_events, several_formats
from collector.api.request_parameters import RequestChoice, RequestParameters
from collector.api.request_records import (
    REQUEST_COLUMNS,
    RequestGroupsAnswer,
    RequestsAnswer,
    request_group_record,
    request_pieces,
    request_records,
)
from collector.api.row_formats import Table, answer, choose_format
from collector.api.stored import Stored, take
from collector.api.view import AgentView
from collector.batch import Rows
from collector.store.request_filter import RequestFilter, compile_request_filter
from collector.store.request_groups import SUMS
from collector.store.request_query import RequestPage, RequestQuery, find_requests
from collector.store.row_tests import Test


class RequestRoutes:
    """stopping: tells streams that the server wants to end."""

    def __init__(self, agent: AgentView, stopping: Callable[[], bool]) -> None:
        self._agent = agent
        self._stopping = stopping

    def router(self) -> APIRouter:
        """All of them, without a prefix."""
        router = APIRouter(tags=["traffic"])
        formats = several_formats("Requests, or groups of them.")
        router.add_api_route("/requests", self.requests, response_model=RequestsAnswer | RequestGroupsAnswer, responses=formats)
        events = describe_events("request", "RequestRecord")
        router.add_api_route("/requests/stream", self.follow_requests, response_class=Events, status_code=200, responses=events)
        return router

    def requests(self, asked: Annotated[RequestParameters, Query()], accept: Accept = "") -> Response:
        """What services are asked, newest first; or with `group_by` how often, how well and how fast they answer.

        A request inside the node is two rows, one for each end that could be read: role=server counts what was asked,
        role=client what it was like for those who asked.
        """
        stored = take(self._agent)
        query = asked.query(self._agent.started_at, stored.now_ns)
        chosen = choose_format(asked.format, accept)
        page = find_requests(query, stored.requests, stored.names)
        head = {"total": page.total, "next_cursor": page.cursor or None, "complete": stored.complete_requests(self._agent)}
        return answer(request_table(page, query, stored, head), chosen)

    def follow_requests(self, asked: Annotated[RequestChoice, Query()]) -> Response:
        """Requests as they are answered, as server-sent events.

        `request`: a request; `lost`: you read too slowly and missed that many rows; `end`: the agent stops.
        """
        wanted = asked.filter()
        self._matching(wanted, take(self._agent))  # what cannot be asked is refused now, not in the middle

        def records(rows: Rows) -> list[dict[str, Any]]:
            stored = take(self._agent)
            fitting = rows[self._matching(wanted, stored)(rows)]
            return request_records(fitting, stored.requests.words, stored.names)

        return Events(self._agent.requests.followers, records, self._stopping, "request")

    @staticmethod
    def _matching(wanted: RequestFilter, stored: Stored) -> Test:
        return compile_request_filter(wanted, stored.requests.words, stored.names)


def request_table(page: RequestPage, query: RequestQuery, stored: Stored, head: dict[str, Any]) -> Table:
    """A page of requests or of groups, ready to be written."""
    if query.group_by:
        records = [request_group_record(group) for group in page.groups]
        head = {**head, "range_seconds": page.seconds}
        return Table("groups", (*dict.fromkeys(query.group_by), *SUMS), [records], head)
    return Table("requests", REQUEST_COLUMNS, request_pieces(page.rows, stored.requests.words, stored.names), head)
