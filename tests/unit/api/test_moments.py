"""Moments in questions and answers."""

from __future__ import annotations

import contextlib
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.api.moments import read_moment, write_moment, write_moments
from collector.store.parameter_error import ParameterError

NOW = 1_790_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds_ago"),
    [("0s", 0), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1w", 604800), ("1789999990", 10), ("1789999999.5", 0.5)],
)
def test_moments_can_be_relative_or_unix_seconds(text: str, seconds_ago: float) -> None:
    assert read_moment("since", text, NOW) == NOW - int(seconds_ago * SECOND)


@pytest.mark.parametrize(
    "text", ["2026-09-21T14:13:20Z", "2026-09-21T16:13:20+02:00", "2026-09-21T16:13:20 02:00", "20260921T141320Z"]
)
def test_rfc_3339_with_any_offset(text: str) -> None:
    assert read_moment("since", text, NOW) == NOW


@pytest.mark.parametrize(
    "text", ["", "-5m", "5 m", "5y", "2026-09-21", "2026-09-21T14:13:20", "1e3", "٣m", "0001-01-01T00:00:00Z"]
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="no moment"):
        read_moment("since", text, NOW)


@given(st.text(max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(ParameterError):
        assert isinstance(read_moment("since", text, NOW), int)


@given(st.integers(1, 2**62))
def test_both_writers_agree_and_can_be_read_back(unix_ns: int) -> None:
    text = write_moment(unix_ns)
    assert text is not None
    assert write_moments(np.array([unix_ns, 0])) == [text, None]
    assert abs(datetime.fromisoformat(text).timestamp() - unix_ns / SECOND) < 1e-3
