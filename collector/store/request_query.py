"""One page of requests: filtered, sorted, cut, with a cursor to the next; or groups of requests with their percentiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from collector.batch import Column, Rows
from collector.store.columns import gather
from collector.store.cursor import Cursor, decode_cursor
from collector.store.flow_groups import NANOSECONDS
from collector.store.parameter_error import ParameterError, check_names
from collector.store.request_filter import RequestFilter, compile_request_filter
from collector.store.request_groups import GROUP_KEYS, GROUP_SORTS, GROUPED, RequestGroup, RequestGrouping, group_requests
from collector.store.requests import REQUEST, RequestView
from collector.store.workload_names import WorkloadNames

LIMIT_MAX = 10_000
EVERY_REQUEST = RequestFilter()

SORTS: dict[str, Callable[[Rows], Column]] = {
    "time": lambda rows: rows["time"],
    "ended": lambda rows: rows["ended_at"],
    "duration": lambda rows: rows["duration"],
    "first_byte": lambda rows: rows["first_byte"],
    "bytes": lambda rows: rows["request_bytes"] + rows["response_bytes"],
    "request_bytes": lambda rows: rows["request_bytes"],
    "response_bytes": lambda rows: rows["response_bytes"],
}


@dataclass(frozen=True, slots=True)
class RequestQuery:
    """sort: a key of SORTS, or with group_by of GROUP_SORTS; '' for time (groups: requests). group_by: keys of GROUP_KEYS.

    seen_from_ns, now_ns: unix; since when requests could be seen at all, and until when: rates are over no longer than that.
    asked: see FlowQuery.
    """

    filter: RequestFilter = EVERY_REQUEST
    sort: str = ""
    descending: bool = True
    limit: int = 100
    cursor: str = ""
    group_by: tuple[str, ...] = ()
    seen_from_ns: int = 0
    now_ns: int = 0
    asked: str = ""

    @property
    def question(self) -> str:
        """The same text for all pages of one question, and for no other question."""
        return self.asked or repr(replace(self, cursor="", limit=1))


@dataclass(frozen=True, slots=True)
class RequestPage:
    """rows: REQUEST, shape (n,), in the order asked for; or groups. total: how many there are in all pages.

    cursor: '' on the last page. seconds: the length of time that rates are over, 0 when there is none.
    """

    rows: Rows
    total: int
    cursor: str = ""
    groups: Sequence[RequestGroup] = field(default_factory=tuple)
    seconds: float = 0.0


def find_requests(query: RequestQuery, view: RequestView, names: WorkloadNames) -> RequestPage:
    """Answers `query` from what the store held when `view` was taken; ParameterError when it cannot be answered."""
    if not 1 <= query.limit <= LIMIT_MAX:
        raise ParameterError("limit", f"A page of {query.limit} requests cannot be had.", f"1 to {LIMIT_MAX}")
    if query.group_by:
        return _find_groups(query, view, names)
    check_names("sort", [query.sort or "time"], SORTS)
    at = decode_cursor(query.cursor, view.epoch, query.question) if query.cursor else None
    if at:
        query = replace(query, asked=query.question, filter=replace(query.filter, since_ns=at.since_ns, until_ns=at.until_ns))
    return _find_page(query, view, names, at)


def _find_page(query: RequestQuery, view: RequestView, names: WorkloadNames, at: Cursor | None) -> RequestPage:
    next_sequence = at.next_sequence if at else view.next_sequence
    matching = compile_request_filter(query.filter, view.words, names)
    rows = gather(view.history, lambda part: matching(part) & (part["sequence"] < next_sequence), REQUEST.names or (), REQUEST)
    keys, sequences = SORTS[query.sort or "time"](rows).astype(np.int64), rows["sequence"].astype(np.int64)
    order = np.lexsort((sequences, keys))
    order = order[::-1] if query.descending else order
    if at:
        order = order[_behind(keys[order], sequences[order], at, query.descending)]
    page = order[: query.limit]
    if len(order) <= query.limit:
        return RequestPage(rows[page], len(rows))
    last = Cursor(int(keys[page[-1]]), int(sequences[page[-1]]), next_sequence, query.filter.since_ns, query.filter.until_ns)
    return RequestPage(rows[page], len(rows), last.encode(view.epoch, query.question))


def _behind(keys: Column, sequences: Column, at: Cursor, descending: bool) -> Column:
    beyond = np.less if descending else np.greater
    mask: Column = beyond(keys, at.key) | ((keys == at.key) & beyond(sequences, at.sequence))
    return mask


def _find_groups(query: RequestQuery, view: RequestView, names: WorkloadNames) -> RequestPage:
    check_names("group_by", query.group_by, GROUP_KEYS)
    check_names("sort", [query.sort or "requests"], GROUP_SORTS)
    if query.cursor:
        raise ParameterError("cursor", "Groups come in one page.", "no cursor with group_by; a larger limit")
    rows = gather(view.history, compile_request_filter(query.filter, view.words, names), GROUPED, REQUEST)
    seconds = covered_seconds(query, view)
    keys = tuple(dict.fromkeys(query.group_by))
    grouping = RequestGrouping(keys, query.sort or "requests", query.descending, query.limit, seconds)
    groups, total = group_requests(rows, grouping, view.words, names)
    return RequestPage(np.zeros(0, REQUEST), total, "", groups, seconds)


def covered_seconds(query: RequestQuery, view: RequestView) -> float:
    """How much of since..until the store can speak for: not what it forgot, nor what was before the agent, nor the future."""
    if not view.history:
        return 0.0
    first = view.complete_from or min(query.seen_from_ns, int(view.history[0]["time"][0]))
    since = max(first, query.filter.since_ns or 0)
    until = query.now_ns if query.filter.until_ns is None else min(query.now_ns, query.filter.until_ns)
    return max(until - since, 0) / NANOSECONDS
