"""Requests that parsers found, as rows of `request`: attribute by attribute, so that NumPy is asked once for each."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from collector.batch import Column, Rows
from collector.decode.request import Outcome, Request
from collector.decode.request_record import CLIENT, PROTOCOL_NUMBERS, RequestTexts, error_type_at

SIZES = ("request_bytes", "response_bytes", "request_body_bytes", "response_body_bytes")
OUTCOMES_BY_VALUE = {outcome.value: number for number, outcome in enumerate(Outcome)}  # members themselves hash slowly
read_times = attrgetter("started_at", "ended_at", "response_started_at")
read_sizes = attrgetter(*SIZES)
read_words = attrgetter("protocol", "outcome._value_", "operation", "resource", "status", "attributes")


def fill_requests(rows: Rows, requests: Sequence[Request], texts: RequestTexts) -> None:
    """All that `requests` say, one for each of `rows`, whose role is there already; whose they are is left alone."""
    started, ended, first_byte = np.array([read_times(one) for one in requests], np.uint64).T
    rows["observed_at"] = started
    rows["duration"] = span(started, ended)
    rows["first_byte"] = span(started, first_byte)
    for name, column in zip(SIZES, zip(*map(read_sizes, requests), strict=True), strict=True):
        rows[name] = column
    protocols, outcomes, operations, resources, statuses, attributes = zip(*map(read_words, requests), strict=True)
    rows["protocol"] = [PROTOCOL_NUMBERS.get(protocol, 0) for protocol in protocols]
    rows["outcome"] = [OUTCOMES_BY_VALUE[outcome] for outcome in outcomes]
    rows["operation"] = [texts.operations.number(word) for word in operations]
    rows["resource"] = [texts.resources.number(word) for word in resources]
    rows["status"] = [texts.statuses.number(word) for word in statuses]
    errors = [
        error_type_at(request, role) if role == CLIENT else request.error_type
        for request, role in zip(requests, rows["role"].tolist(), strict=True)
    ]
    rows["error_type"] = [texts.statuses.number(word) for word in errors]
    rows["system"] = [texts.systems.number(str(known.get("db.system.name", ""))) for known in attributes]
    rows["namespace"] = [texts.namespaces.number(str(known.get("db.namespace", ""))) for known in attributes]


def span(start: Column, end: Column) -> Column:
    """Nanoseconds from one to the other; 0 where one of them is not known."""
    return np.where((start > 0) & (end > start), end - start, 0)
