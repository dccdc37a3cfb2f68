"""HTTP/1 exchanges a batch at a time: heads that come again are known by their hash, others are read as columns."""

from __future__ import annotations

import numpy as np

from collector.batch import Column, Rows
from collector.decode.http_lines import LONGEST_STATUS
from collector.decode.http_requests import RequestHeads
from collector.decode.http_responses import ResponseHeads
from collector.decode.protocols.http1_head import read_request_head
from collector.decode.request import Outcome
from collector.decode.request_record import OUTCOME_NUMBERS, PROTOCOL_NUMBERS, RequestTexts
from collector.decode.trace_columns import TraceColumns


class HttpExchanges:
    """Fills rows of `request`."""

    def __init__(self, texts: RequestTexts) -> None:
        self._texts = texts
        self._requests, self._responses = RequestHeads(texts), ResponseHeads()
        self._status_numbers = np.zeros(LONGEST_STATUS, np.uint32)
        self.unreadable = 0

    def forget_lines(self) -> None:
        """The numbers of paths are given anew."""
        self._requests = RequestHeads(self._texts)

    def fill(self, source: Rows, rows: Rows) -> TraceColumns:
        """Protocol, operation, resource, status, outcome, error_type and body sizes of `rows` out of the exchanges `source`.

        What their headers say about traces is given back.
        """
        asked = self._requests.read(source["request"], source["request_captured"])
        answered = self._responses.read(source["response"], source["response_captured"])
        rows["protocol"] = PROTOCOL_NUMBERS["http"]
        rows["operation"], rows["resource"] = asked.operation, asked.resource
        rows["request_body_bytes"] = body_sizes(source["request_bytes"], asked.body_at)
        rows["response_body_bytes"] = body_sizes(source["response_bytes"], answered.body_at)
        self.unreadable += len(rows) - int(np.count_nonzero(asked.known))
        self._fill_status(source, rows, answered.status)
        return asked.traces

    def _fill_status(self, source: Rows, rows: Rows, status: Column) -> None:
        rows["status"] = numbers = self._number_statuses(status)
        outcome = np.where(status == 0, OUTCOME_NUMBERS[Outcome.UNKNOWN], OUTCOME_NUMBERS[Outcome.OK])
        outcome[status >= 500] = OUTCOME_NUMBERS[Outcome.ERROR]
        outcome[source["response_started_at"] == 0] = OUTCOME_NUMBERS[Outcome.UNANSWERED]
        rows["outcome"] = outcome
        least_error = np.where(source["role"] == 1, 400, 500)  # OpenTelemetry: 4xx are errors of the client's side only
        rows["error_type"] = np.where(status >= least_error, numbers, 0)

    def _number_statuses(self, status: Column) -> Column:
        numbers: Column = self._status_numbers[status]
        unknown = (numbers == 0) & (status != 0)
        if unknown.any():
            for value in np.unique(status[unknown]).tolist():
                self._status_numbers[value] = self._texts.statuses.number(str(value))
            numbers = self._status_numbers[status]
        return numbers


def body_sizes(total: Column, body_at: Column) -> Column:
    """int64 (n,): bytes on the wire behind the head, -1 where its end is not known. A chunked body counts with its framing."""
    sizes = total.astype(np.int64) - body_at
    return np.where(body_at > 0, np.maximum(sizes, -1), -1)


def many_requests_in(head: bytes) -> bool:
    """Whether more than one whole request is in these bytes: the client pipelines."""
    first = read_request_head(head)
    if first is None or first.size == 0 or first.body < 0:
        return False
    rest = head[first.size + first.body :]
    return bool(rest) and read_request_head(rest) is not None
