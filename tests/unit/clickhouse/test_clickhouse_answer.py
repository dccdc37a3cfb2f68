"""Refusals as real servers write them: 18.16 (recorded here), and 25.3 as its documentation shows them."""

from __future__ import annotations

import pytest

from collector.export.clickhouse_answer import read_refusal, read_version
from collector.export.otlp_outcome import Outcome, outcome_of_status

OLD = b"Code: %d, e.displayText() = DB::Exception: %s, e.what() = DB::Exception\n"
NEW = b"Code: %d. DB::Exception: %s. (NAME_OF_ERROR) (version 25.3.1.1 (official build))\n"


@pytest.mark.parametrize("form", [OLD, NEW], ids=["18.16", "25.3"])
@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (404, 60, "no_table"),
        (404, 81, "no_database"),
        (401, 194, "unauthorized"),
        (403, 516, "unauthorized"),
        (500, 252, "throttled"),
        (500, 241, "throttled"),
        (400, 27, "rejected"),
        (500, 16, "rejected"),
        (500, 1000, "unexpected"),
    ],
)
def test_the_code_decides_and_not_the_status(form: bytes, status: int, code: int, reason: str) -> None:
    outcome = read_refusal(outcome_of_status(status, "Reason", 7.0), form % (code, b"Table default.nothing doesn't exist"))
    assert (outcome.reason, outcome.retry_after) == (reason, 7.0)
    assert outcome.text.startswith(f"ClickHouse error {code}: Table default.nothing doesn't exist")
    assert "DB::Exception" not in outcome.text


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (502, b"<html>Bad Gateway</html>", "server_error"),
        (503, b"", "throttled"),
        (429, b"slow down", "throttled"),
        (404, b"<html>no such page</html>", "misunderstood"),
        (413, b"", "misunderstood"),
        (302, b"", "misunderstood"),
    ],
)
def test_what_stands_between_is_never_a_reason_to_give_rows_up(status: int, body: bytes, reason: str) -> None:
    assert read_refusal(outcome_of_status(status, ""), body).reason == reason


def test_bytes_of_any_kind_are_read() -> None:
    assert read_refusal(Outcome("server_error"), b"Code: 60\xff\xfe \x00").reason in ("no_table", "server_error")


def test_versions_are_numbers() -> None:
    assert read_version("18.16.1\n") == (18, 16)
    assert read_version("26.9.2.1") == (26, 9)
    assert [read_version(text) for text in ("", "hello", "1", "<html>.<body>")] == [()] * 4
