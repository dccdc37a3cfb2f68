from __future__ import annotations

from collector.source.drain_pace import SHORTEST_SECONDS, DrainPace


def test_nearly_empty_rings_are_waited_for_as_long_as_allowed() -> None:
    pace = DrainPace()
    assert [pace.next_wait(fill, 0.25) for fill in (0.0, 0.04, 0.0)] == [0.25, 0.25, 0.25]


def test_full_rings_shorten_the_wait_to_a_limit_and_empty_ones_lengthen_it_again() -> None:
    pace = DrainPace()
    waits = [pace.next_wait(1.0, 0.25) for _ in range(5)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] < 0.25 / 4
    assert waits[-1] == SHORTEST_SECONDS
    assert [pace.next_wait(0.0, 0.25) for _ in range(3)] == [2 * SHORTEST_SECONDS, 4 * SHORTEST_SECONDS, 8 * SHORTEST_SECONDS]


def test_the_wait_stays_where_a_ring_fills_neither_fast_nor_slowly() -> None:
    pace = DrainPace()
    assert pace.next_wait(0.5, 0.2) == 0.05
    assert pace.next_wait(0.1, 0.2) == 0.05
