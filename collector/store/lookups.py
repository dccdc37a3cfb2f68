"""Name lookups: a bounded history, and questions to it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from collector.batch import Batch, Column, Rows
from collector.store.columns import address_halves, wall_times
from collector.store.cursor import Cursor, decode_cursor
from collector.store.flow_filter import EndFilter
from collector.store.follow import Followers
from collector.store.history import History
from collector.store.name_table import NameTable
from collector.store.parameter_error import ParameterError, check_names
from collector.store.row_tests import Test, all_of, code_test, process_test, workload_test
from collector.store.workload_names import WorkloadNames, matcher

HISTORY_CAPACITY = 10_000
LIMIT_MAX = 10_000

# `local` is who asked (or, for role server, who was asked), `peer` the other. Times in unix ns.
LOOKUP = np.dtype(
    [
        ("sequence", "u8"),
        ("time", "i8"),  # of the question
        ("duration", "u8"),  # ns, 0: no answer
        ("question", "O"),  # str
        ("answers", "O"),  # tuple of (16 bytes of address, ttl in seconds)
        ("local_address", "u8", (2,)),
        ("remote_address", "u8", (2,)),
        ("command", "S16"),
        ("netns", "u4"),
        ("process", "u4"),
        ("local", "i4"),
        ("peer", "i4"),
        ("answer_count", "u2"),
        ("query_count", "u2"),
        ("local_port", "u2"),
        ("remote_port", "u2"),
        ("truncated", "?"),
        ("role", "u1"),
        ("transport", "u1"),
        ("response_code", "u1"),
        ("question_type", "u1"),
    ]
)
CODED = ("role", "transport", "response_code", "question_type")
MADE_HERE = {"sequence", "time", "local_address", "remote_address", *CODED}


@dataclass(frozen=True, slots=True)
class LookupView:
    """What the store held at one moment; read it without any lock. names: coded column -> name by code."""

    history: tuple[Rows, ...]
    names: Mapping[str, tuple[str, ...]]
    next_sequence: int
    epoch: int
    overwritten: int


@dataclass(frozen=True, slots=True)
class LookupStoreCounts:
    """overwritten: rows forgotten since the start, for want of room."""

    rows: int
    capacity: int
    overwritten: int


class LookupStore:
    """Not thread-safe: `add`, `view` and `counts` are called under the pipeline's lock; none of them takes long."""

    def __init__(self, capacity: int = HISTORY_CAPACITY, followers: Followers | None = None) -> None:
        self.followers = Followers() if followers is None else followers
        self._history = History(LOOKUP, capacity)
        self._tables = {
            "role": NameTable("client", "server"),
            "transport": NameTable("udp", "tcp"),
            "response_code": NameTable("noerror", "nxdomain", "servfail", "refused", "timeout"),
            "question_type": NameTable("a", "aaaa", "ptr", "srv", "cname", "mx", "txt", "ns", "soa", "https", "svcb"),
        }
        self._next_sequence = 1
        self._epoch = secrets.randbits(32)

    def add(self, batch: Batch, wall_offset_ns: int) -> None:
        """Takes a batch of dns_lookup; wall_offset_ns: unix time minus boot time, now."""
        rows = np.zeros(len(batch), LOOKUP)
        for name in LOOKUP.names or ():
            if name not in MADE_HERE and name in batch:
                rows[name] = batch[name]
        for name in ("local_address", "remote_address"):
            rows[name] = address_halves(batch[name])
        for name, table in self._tables.items():
            rows[name] = table.encode(batch[name], batch.schema.field(name).names)
        rows["time"] = wall_times(batch, "observed_at", wall_offset_ns)
        rows["sequence"] = np.arange(self._next_sequence, self._next_sequence + len(rows), dtype=np.uint64)
        self._next_sequence += len(rows)
        self._history.append(rows)
        self.followers.publish(rows)

    def view(self) -> LookupView:
        """All rows as they are now, in constant time."""
        names = {column: table.names for column, table in self._tables.items()}
        return LookupView(self._history.view(), names, self._next_sequence, self._epoch, self._history.overwritten)

    def counts(self) -> LookupStoreCounts:
        """How full the store is and what it had to leave out."""
        return LookupStoreCounts(len(self._history), self._history.capacity, self._history.overwritten)


@dataclass(frozen=True, slots=True)
class LookupQuery:
    """names: patterns of the question. local: who asked. since_ns, until_ns: unix ns. asked: see FlowQuery."""

    names: tuple[str, ...] = ()
    local: EndFilter = field(default_factory=EndFilter)
    response_codes: tuple[str, ...] = ()
    question_types: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 100
    cursor: str = ""
    asked: str = ""


@dataclass(frozen=True, slots=True)
class LookupPage:
    """rows: LOOKUP, shape (n,), newest first. total: how many there are in all pages. cursor: '' on the last page."""

    rows: Rows
    total: int
    cursor: str


def find_lookups(query: LookupQuery, view: LookupView, names: WorkloadNames) -> LookupPage:
    """Answers `query` from what the store held when `view` was taken; ParameterError when it cannot be answered."""
    if not 1 <= query.limit <= LIMIT_MAX:
        raise ParameterError("limit", f"A page of {query.limit} lookups cannot be had.", f"1 to {LIMIT_MAX}")
    since, until, next_sequence, before = query.since_ns, query.until_ns, view.next_sequence, view.next_sequence
    if query.cursor:
        at = decode_cursor(query.cursor, view.epoch, query.asked)
        since, until, next_sequence, before = at.since_ns, at.until_ns, at.next_sequence, at.sequence
    matching = all_of([*_tests(query, view, names), *_range_tests(since, until, next_sequence)])
    rows = np.concatenate([*(part[matching(part)] for part in view.history), np.zeros(0, LOOKUP)])
    fitting = rows[rows["sequence"] < before][::-1]
    page = fitting[: query.limit]
    cursor = ""
    if len(fitting) > len(page):
        last = int(page["sequence"][-1])
        cursor = Cursor(0, last, next_sequence, since, until).encode(view.epoch, query.asked)
    return LookupPage(page, len(rows), cursor)


def _tests(query: LookupQuery, view: LookupView, names: WorkloadNames) -> list[Test]:
    tests: list[Test] = []
    asked = (("response_code", query.response_codes), ("question_type", query.question_types), ("role", query.roles))
    for column, wanted in asked:
        if wanted:
            check_names(column, wanted, view.names[column])
            tests.append(code_test(column, [view.names[column].index(name) for name in wanted]))
    numbers = query.local.workload_numbers(names)
    if numbers is not None:
        of_workload = workload_test(numbers)
        tests.append(lambda rows: of_workload(rows, "local"))
    if query.local.processes:
        tests.append(process_test(query.local.processes))
    if query.names:
        tests.append(_question_test(query.names))
    return tests


def _question_test(patterns: tuple[str, ...]) -> Test:
    fits = matcher(tuple(pattern.lower().rstrip(".") for pattern in patterns))
    known: dict[str, bool] = {}

    def test(rows: Rows) -> Column:
        questions = rows["question"].tolist()
        for question in set(questions) - known.keys():
            known[question] = fits(question.rstrip("."))
        return np.array([known[question] for question in questions], bool)

    return test


def _range_tests(since: int | None, until: int | None, next_sequence: int) -> list[Test]:
    tests: list[Test] = [lambda rows: rows["sequence"] < next_sequence]
    if since is not None:
        tests.append(lambda rows: rows["time"] >= since)
    if until is not None:
        tests.append(lambda rows: rows["time"] <= until)
    return tests
