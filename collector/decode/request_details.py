"""All that may be told of one HTTP/1 request that was chosen to become a span. Called for the few; the rest stay columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from collector.decode.protocols.draft import RequestDraft
from collector.decode.protocols.http1_head import RequestHead, read_request_head, read_response_head
from collector.decode.protocols.http_semantics import http_attributes
from collector.decode.request import Request
from collector.decode.request_record import OUTCOME_NUMBERS, RequestTexts
from collector.instruments import AttributeValue

OUTCOMES = {number: outcome for outcome, number in OUTCOME_NUMBERS.items()}
NO_HEAD = RequestHead("", "", "", "", ("", 0), "", -3, 0)
BODILESS = frozenset((204, 304))
HEADS_KEPT = 1024  # a client that keeps its connection says the same again; 1 KiB each at most
ROW_FIELDS = ("status", "error_type", "outcome", "observed_at", "duration", "first_byte", "request_bytes", "response_bytes")


def request_details(head: bytes, answer: bytes, row: np.void, texts: RequestTexts, scheme: str = "http") -> Request:
    """head: as much of the request's head as was captured, with what came as request_rest. answer: likewise.

    row: of `request`, filled by the columns already; what it says about status and outcome stays.
    """
    values = [row[name].item() for name in ROW_FIELDS]
    return describe_row(head, answer, values, texts, scheme)


def describe_row(head: bytes, answer: bytes, values: Sequence[int], texts: RequestTexts, scheme: str) -> Request:
    """values: of ROW_FIELDS. The attributes are shared between requests that agree in them: nobody may change them."""
    status_number, error_number, outcome, started, duration, first_byte, request_bytes, response_bytes = values
    asked = read_known_head(head)
    status_text = texts.statuses.names[status_number]
    status = int(status_text) if status_text.isdecimal() else 0
    details = RequestDraft("http", asked.method, asked.path, shared_attributes(asked, scheme, status))
    details.outcome = OUTCOMES[outcome]
    details.status, details.error_type = status_text, texts.statuses.names[error_number]
    details.request_bytes, details.response_bytes = request_bytes, response_bytes
    details.request_body_bytes = max(asked.body, -1) if asked.size else -1
    details.response_body_bytes = response_body(answer, asked.method, status)
    details.started_at = started
    details.response_started_at = started + first_byte if first_byte else 0
    details.ended_at = started + duration if duration else 0
    details.trace_parent = asked.trace_parent
    return details.seal()


@lru_cache(maxsize=HEADS_KEPT)
def read_known_head(head: bytes) -> RequestHead:
    asked = read_request_head(head) or NO_HEAD
    return asked._replace(path="") if asked.path_is_cut else asked


@lru_cache(maxsize=HEADS_KEPT)
def shared_attributes(asked: RequestHead, scheme: str, status: int) -> Mapping[str, AttributeValue]:
    return http_attributes(asked, scheme, status)


@lru_cache(maxsize=HEADS_KEPT)
def response_body(answer: bytes, method: str, status: int) -> int:
    """Bytes of the body that the answer's head announces, -1 when it does not say, or this head is not the final one."""
    if method == "HEAD" or status in BODILESS:
        return 0
    head = read_response_head(answer)
    return head.body if head is not None and head.size and head.status == status and head.body >= 0 else -1
