"""All that may be told of one HTTP/1 request that was chosen to become a span. Called for the few; the rest stay columns."""

from __future__ import annotations

import numpy as np

from collector.decode.protocols.http1_head import RequestHead, read_request_head, read_response_head
from collector.decode.protocols.http_semantics import http_attributes
from collector.decode.request import Request
from collector.decode.request_record import OUTCOME_NUMBERS, RequestTexts

OUTCOMES = {number: outcome for outcome, number in OUTCOME_NUMBERS.items()}
NO_HEAD = RequestHead("", "", "", "", ("", 0), "", -3, 0)
BODILESS = frozenset((204, 304))


def request_details(head: bytes, answer: bytes, row: np.void, texts: RequestTexts, scheme: str = "http") -> Request:
    """head: as much of the request's head as was captured, with what came as request_rest. answer: likewise.

    row: of `request`, filled by the columns already; what it says about status and outcome stays.
    """
    asked = read_request_head(head) or NO_HEAD
    if asked.path_is_cut:
        asked = asked._replace(path="")
    status_text = texts.statuses.names[int(row["status"])]
    status = int(status_text) if status_text.isdecimal() else 0
    started, duration, first_byte = int(row["observed_at"]), int(row["duration"]), int(row["first_byte"])
    return Request(
        protocol="http",
        operation=asked.method,
        resource=asked.path,
        outcome=OUTCOMES[int(row["outcome"])],
        status=status_text,
        error_type=texts.statuses.names[int(row["error_type"])],
        request_bytes=int(row["request_bytes"]),
        response_bytes=int(row["response_bytes"]),
        request_body_bytes=max(asked.body, -1) if asked.size else -1,
        response_body_bytes=response_body(answer, asked.method, status),
        started_at=started,
        response_started_at=started + first_byte if first_byte else 0,
        ended_at=started + duration if duration else 0,
        trace_parent=asked.trace_parent,
        attributes=http_attributes(asked, scheme, status),
    )


def response_body(answer: bytes, method: str, status: int) -> int:
    """Bytes of the body that the answer's head announces, -1 when it does not say, or this head is not the final one."""
    if method == "HEAD" or status in BODILESS:
        return 0
    head = read_response_head(answer)
    return head.body if head is not None and head.size and head.status == status and head.body >= 0 else -1
