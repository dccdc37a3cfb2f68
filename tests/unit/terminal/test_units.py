"""Amounts and moments for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.terminal.units import printable, show_bytes, show_count, show_duration, show_moment, show_rate, show_share


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1234, "1.2 kB"), (99_949, "99.9 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (123_456_789, "123 MB"), (10**15, "1.0 PB"), (10**19, "10000 PB")],
)  # fmt: skip
def test_bytes_are_short(count: int, text: str) -> None:
    assert show_bytes(count) == text


@given(st.integers(0, 10**15))
def test_bytes_and_counts_never_need_more_room_than_a_column_has(count: int) -> None:
    assert len(show_bytes(count)) <= 7
    assert len(show_count(count)) <= 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0.0 ns"), (2.5e-7, "250 ns"), (0.0001, "100 us"), (0.0015, "1.5 ms"), (1, "1.0 s"), (59.4, "59 s"),
     (119, "119 s"), (120, "2 m"), (7200, "2 h"), (86400 * 3, "3 d")],
)  # fmt: skip
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(None, ""), (1234, "1.2k /s"), (10, "10 /s"), (9.94, "9.9 /s"), (0.25, "0.25 /s"), (0.005, "0.3 /m")],
)
def test_rates_are_short(per_second: float | None, text: str) -> None:
    assert show_rate(per_second) == text


@pytest.mark.parametrize(("share", "text"), [(0, "-"), (1, "100 %"), (0.125, "12 %"), (0.0312, "3.1 %"), (1e-6, "0.1 %")])
def test_shares_are_short_and_never_hide_that_there_are_some(share: float, text: str) -> None:
    assert show_share(share) == text


def test_moments_are_told_where_the_reader_is() -> None:
    at = datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=2)))
    assert show_moment("2026-11-23T08:30:00.250000Z", at) == "10:30:00"
    assert show_moment("2026-11-21T23:30:00.000000Z", at) == "Nov 22 01:30"
    assert show_moment(None, datetime.now(UTC)) == ""


@given(st.text())
def test_nothing_that_is_printed_steers_the_terminal(text: str) -> None:
    assert printable(text).isprintable()
