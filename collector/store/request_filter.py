"""Which requests a question is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from collector.batch import Column, Rows
from collector.store.flow_filter import EndFilter, any_side
from collector.store.parameter_error import ParameterError, check_names
from collector.store.requests import FAILED_OUTCOMES, Words
from collector.store.row_tests import Test, all_of, code_test, process_test, workload_test
from collector.store.workload_names import WorkloadNames, matcher

STATUS_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
OTHER_WORD = "_OTHER"


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests; within a field any value may fit, all fields must.

    either, local, peer: what the ends must be; of these only workloads and, for this node's end, processes count.
    operations, routes, statuses, errors: patterns; a status may be a class such as 5xx. ports: of the end that serves.
    since_ns, until_ns: unix ns; a request fits that was on its way at some time between them.
    """

    either: EndFilter = field(default_factory=EndFilter)
    local: EndFilter = field(default_factory=EndFilter)
    peer: EndFilter = field(default_factory=EndFilter)
    protocols: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    min_duration_ns: int = 0
    since_ns: int | None = None
    until_ns: int | None = None


def compile_request_filter(asked: RequestFilter, words: Words, names: WorkloadNames) -> Test:
    """A function from REQUEST rows, shape (n,), to a mask. Raises ParameterError when `asked` names what cannot be."""
    return all_of([*_end_tests(asked, names), *_code_tests(asked, words), *_word_tests(asked, words), *_number_tests(asked)])


def failed_requests(rows: Rows, words: Words) -> Column:
    """Mask of those that failed: no answer, an answer that says so, or one that this side takes for an error."""
    bad = codes_of(words["outcome"], FAILED_OUTCOMES)
    mask: Column = np.isin(rows["outcome"], bad) | (rows["error_type"] != 0)
    return mask


def codes_of(known: Iterable[str], wanted: tuple[str, ...]) -> list[int]:
    """Codes of the words `wanted` among those `known`."""
    return [code for code, word in enumerate(known) if word in wanted]


def _end_tests(asked: RequestFilter, names: WorkloadNames) -> list[Test]:
    if asked.peer.processes:
        raise ParameterError("process", "Only this node's end of a request has a process.", "side=local or side=either")
    tests: list[Test] = []
    for end, sides in ((asked.local, ("local",)), (asked.peer, ("peer",)), (asked.either, ("local", "peer"))):
        numbers = end.workload_numbers(names)
        if numbers is not None:
            tests.append(any_side(sides, workload_test(numbers)))
        if end.processes:
            tests.append(process_test(end.processes))
    return tests


def _code_tests(asked: RequestFilter, words: Words) -> list[Test]:
    tests = []
    for parameter, wanted in (("protocol", asked.protocols), ("role", asked.roles), ("outcome", asked.outcomes)):
        if wanted:
            check_names(parameter, wanted, (word for word in words[parameter] if word != OTHER_WORD))
            tests.append(code_test(parameter, codes_of(words[parameter], wanted)))
    return tests


def _word_tests(asked: RequestFilter, words: Words) -> list[Test]:
    statuses = tuple(STATUS_CLASS.sub(r"\1??", text) if STATUS_CLASS.fullmatch(text) else text for text in asked.statuses)
    questions = (("operation", asked.operations), ("route", asked.routes), ("status", statuses), ("error_type", asked.errors))
    return [_word_test(column, patterns, words) for column, patterns in questions if patterns]


def _word_test(column: str, patterns: tuple[str, ...], words: Words) -> Test:
    """Whether the word of a row fits; capital and small letters are the same, and no word at all fits nothing."""
    fits = matcher(tuple(pattern.casefold() for pattern in patterns))
    known = words[column]
    judged = {0: False}

    def test(rows: Rows) -> Column:
        codes, which = np.unique(rows[column], return_inverse=True)
        distinct = codes.tolist()
        for code in distinct:
            if code not in judged:
                judged[code] = fits(known[code].casefold())
        fitting: Column = np.array([judged[code] for code in distinct], bool)[which]
        return fitting

    return test


def _number_tests(asked: RequestFilter) -> list[Test]:
    tests: list[Test] = []
    since, until, least = asked.since_ns, asked.until_ns, asked.min_duration_ns
    if asked.ports:
        ports = np.array(asked.ports, np.int64)
        tests.append(lambda rows: np.isin(rows["server_port"], ports))
    if least:
        tests.append(lambda rows: rows["duration"] >= least)
    if since is not None:
        tests.append(lambda rows: rows["ended_at"] >= since)
    if until is not None:
        tests.append(lambda rows: rows["time"] <= until)
    return tests
