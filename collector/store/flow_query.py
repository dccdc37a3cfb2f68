"""One page of flows: filtered, sorted, cut, with a cursor to the next; or groups of flows with their sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from collector.batch import Column, Rows
from collector.store.columns import gather
from collector.store.cursor import Cursor, decode_cursor
from collector.store.flow_filter import FlowFilter, compile_filter
from collector.store.flow_groups import GROUP_KEYS, GROUP_SORTS, GROUPED, Group, GroupOrder, group_flows
from collector.store.flow_rows import FLOW
from collector.store.flows import FlowView
from collector.store.parameter_error import ParameterError, check_names
from collector.store.workload_names import WorkloadNames

LIMIT_MAX = 10_000
EVERY_FLOW = FlowFilter()
STILL_OPEN = np.int64(2**63 - 1)

SORTS: dict[str, Callable[[Rows], Column]] = {
    "time": lambda rows: rows["time"],
    "ended": lambda rows: np.where(rows["ended_at"] > 0, rows["ended_at"], STILL_OPEN),
    "duration": lambda rows: rows["duration"],
    "connect": lambda rows: rows["connect_duration"],
    "bytes": lambda rows: rows["bytes_sent"] + rows["bytes_received"],
    "bytes_sent": lambda rows: rows["bytes_sent"],
    "bytes_received": lambda rows: rows["bytes_received"],
    "retransmits": lambda rows: rows["retransmits"],
    "rtt": lambda rows: rows["smoothed_rtt"],
}


@dataclass(frozen=True, slots=True)
class FlowQuery:
    """sort: a key of SORTS, or with group_by of GROUP_SORTS; '' for time (groups: flows). group_by: keys of GROUP_KEYS.

    asked: the question in the client's own words, where times may be relative; a cursor is good for these words only.
    """

    filter: FlowFilter = EVERY_FLOW
    sort: str = ""
    descending: bool = True
    limit: int = 100
    cursor: str = ""
    group_by: tuple[str, ...] = ()
    asked: str = ""

    @property
    def question(self) -> str:
        """The same text for all pages of one question, and for no other question."""
        return self.asked or repr(replace(self, cursor="", limit=1))


@dataclass(frozen=True, slots=True)
class FlowPage:
    """rows: FLOW, shape (n,), in the order asked for; or groups. total: how many flows (groups) there are in all pages.

    cursor: '' on the last page.
    """

    rows: Rows
    total: int
    cursor: str = ""
    groups: Sequence[Group] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class _Matches:
    """Where the fitting rows are: part and index in it, with what they are sorted by. All of shape (n,)."""

    key: Column
    sequence: Column
    part: Column
    index: Column

    def select(self, which: Column) -> _Matches:
        return _Matches(self.key[which], self.sequence[which], self.part[which], self.index[which])


def run(query: FlowQuery, view: FlowView, names: WorkloadNames) -> FlowPage:
    """Answers `query` from what the store held when `view` was taken; ParameterError when it cannot be answered."""
    if not 1 <= query.limit <= LIMIT_MAX:
        raise ParameterError("limit", f"A page of {query.limit} flows cannot be had.", f"1 to {LIMIT_MAX}")
    if query.group_by:
        return _run_groups(query, view, names)
    check_names("sort", [query.sort or "time"], SORTS)
    at = decode_cursor(query.cursor, view.epoch, query.question) if query.cursor else None
    if at:
        query = replace(query, asked=query.question, filter=replace(query.filter, since_ns=at.since_ns, until_ns=at.until_ns))
    return _run_page(query, view, names, at)


def _run_page(query: FlowQuery, view: FlowView, names: WorkloadNames, at: Cursor | None) -> FlowPage:
    next_sequence = at.next_sequence if at else view.next_sequence
    parts = list(view.parts())
    matches = _find(parts, compile_filter(query.filter, view.names, names), SORTS[query.sort or "time"], next_sequence)
    total = len(matches.key)
    if at:
        matches = matches.select(_behind(matches, at, query.descending))
    page = matches.select(_order(matches, query.descending)[: query.limit])
    if len(matches.key) <= query.limit:
        return FlowPage(_gather(parts, page), total)
    last = Cursor(int(page.key[-1]), int(page.sequence[-1]), next_sequence, query.filter.since_ns, query.filter.until_ns)
    return FlowPage(_gather(parts, page), total, last.encode(view.epoch, query.question))


def _run_groups(query: FlowQuery, view: FlowView, names: WorkloadNames) -> FlowPage:
    check_names("group_by", query.group_by, GROUP_KEYS)
    check_names("sort", [query.sort or "flows"], GROUP_SORTS)
    if query.cursor:
        raise ParameterError("cursor", "Groups come in one page.", "no cursor with group_by; a larger limit")
    matching = compile_filter(query.filter, view.names, names)
    rows = gather(view.parts(), matching, GROUPED, FLOW)
    order = GroupOrder(query.sort or "flows", query.descending, query.limit)
    groups, total = group_flows(rows, tuple(dict.fromkeys(query.group_by)), order, view.names, names)
    return FlowPage(np.zeros(0, FLOW), total, "", groups)


def _find(parts: list[Rows], matching: Callable[[Rows], Column], key: Callable[[Rows], Column], next_sequence: int) -> _Matches:
    keys, sequences, numbers, indices = [], [], [], []
    for number, rows in enumerate(parts):
        index = np.flatnonzero(matching(rows) & (rows["sequence"] < next_sequence))
        fitting = rows[index] if len(index) < len(rows) else rows
        keys.append(key(fitting).astype(np.int64))
        sequences.append(fitting["sequence"].astype(np.int64))
        numbers.append(np.full(len(index), number, np.uint16))
        indices.append(index.astype(np.uint32))
    nothing = np.zeros(0, np.int64)
    return _Matches(*(np.concatenate([nothing, *each]) for each in (keys, sequences, numbers, indices)))


def _behind(matches: _Matches, at: Cursor, descending: bool) -> Column:
    beyond = np.less if descending else np.greater
    mask: Column = beyond(matches.key, at.key) | ((matches.key == at.key) & beyond(matches.sequence, at.sequence))
    return mask


def _order(matches: _Matches, descending: bool) -> Column:
    order = np.lexsort((matches.sequence, matches.key))
    return order[::-1] if descending else order


def _gather(parts: list[Rows], page: _Matches) -> Rows:
    rows = np.zeros(len(page.key), FLOW)
    for number in np.unique(page.part):
        here = page.part == number
        rows[here] = parts[number][page.index[here]]
    return rows
