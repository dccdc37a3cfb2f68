"""A draft becomes a request without being copied, so it must have the request's fields."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from collector.decode.protocols.draft import RequestDraft
from collector.decode.request import Outcome, Request


def test_sealed_draft_is_the_request_with_the_contracts_defaults() -> None:
    draft = RequestDraft("redis", "GET", "", {"db.system.name": "redis"})
    draft.outcome = Outcome.OK
    request = draft.seal()
    assert type(request) is Request
    assert request == Request("redis", "GET", "", Outcome.OK, attributes={"db.system.name": "redis"})
    assert RequestDraft.__slots__ == tuple(field.name for field in fields(Request))
    with pytest.raises(FrozenInstanceError):
        request.status = "x"  # type: ignore[misc]


def test_failed_draft_says_how() -> None:
    draft = RequestDraft("mysql", "SELECT", "t", {})
    draft.fail("1062", "1062")
    assert (draft.outcome, draft.status, draft.error_type) == (Outcome.ERROR, "1062", "1062")
