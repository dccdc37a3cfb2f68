import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.export.otlp_outcome import LONGEST_TEXT, outcome_of_error, outcome_of_status, presentable


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, ""),
        (202, ""),
        (302, "rejected"),
        (400, "rejected"),
        (401, "unauthorized"),
        (429, "throttled"),
        (500, "server_error"),
    ],
)
def test_status_has_a_reason(status: int, reason: str) -> None:
    assert outcome_of_status(status, "").reason == reason


def wrapped(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as inner:
            raise OSError("http://user:secret@host/?token=secret", inner) from inner
    except OSError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "refused"),
        (ConnectionResetError(104, "Connection reset by peer"), "connection"),
        (socket.gaierror(-2, "Name or service not known"), "unresolved"),
        (ssl.SSLError(1, "[SSL] certificate verify failed"), "tls"),
        (TimeoutError("timed out"), "timeout"),
    ],
)
def test_reason_is_found_behind_what_libraries_wrap_around_it(error: Exception, reason: str) -> None:
    outcome = outcome_of_error(wrapped(error))
    assert outcome.reason == reason
    assert "secret" not in outcome.text


@given(st.text(), st.lists(st.text()))
def test_text_is_one_short_printable_line(text: str, secrets: list[str]) -> None:
    line = presentable(text, secrets)
    assert line.isprintable()
    assert len(line) <= LONGEST_TEXT


def test_secrets_are_taken_out() -> None:
    assert presentable("the key abc123\nis wrong", ["abc123", ""]) == "the key … is wrong"
