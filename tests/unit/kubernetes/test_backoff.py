"""Waits grow, are spread over all of their range, and end with success."""

from __future__ import annotations

import random

from collector.kubernetes.backoff import LONGEST_SECONDS, Backoff


def test_waits_grow_to_a_bound_and_are_spread_over_their_whole_range() -> None:
    waits = [[Backoff(chance=random.Random(seed), attempts=attempt).next_wait() for seed in range(300)] for attempt in range(9)]
    assert [round(max(some)) for some in waits[:4]] == [1, 2, 3, 6]
    assert max(waits[8]) <= LONGEST_SECONDS
    assert min(waits[8]) < 0.1 * LONGEST_SECONDS
    assert 0.4 < sum(waits[8]) / 300 / LONGEST_SECONDS < 0.6


def test_a_stream_that_lived_ends_the_series_of_failures_and_a_short_one_does_not() -> None:
    backoff = Backoff(attempts=5)
    backoff.lived(0.5)
    assert backoff.attempts == 5
    backoff.lived(60)
    assert backoff.attempts == 0


def test_what_the_server_asks_for_is_the_least_and_has_a_bound() -> None:
    assert 7 <= Backoff().next_wait(7) <= 8
    assert Backoff().next_wait(1e9) < 150
