"""Ends of connections: found by their mirror image, never guessed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.connection_ends import CANDIDATES, OVERLAP_NS, STILL_OPEN, ConnectionEnds
from collector.workload import UNKNOWN

FRESH = 1000
OPEN = int(STILL_OPEN)
End = tuple[int, int, int]  # key, netns, number


def add(table: ConnectionEnds, ends: list[End], now: int = 0, opened: int = 0, ended: int = OPEN) -> None:
    columns = zip(*ends, strict=True) if ends else ([], [], [])
    keys, netns, numbers = columns
    times = np.full(len(ends), opened, np.uint64), np.full(len(ends), ended, np.uint64)
    table.add(np.array(keys, np.uint64), np.array(netns, np.uint32), np.array(numbers, np.int32), times, now)


def find(
    table: ConnectionEnds, key: int, netns: int, now: int = 0, same: bool = False, opened: int = 0, ended: int = OPEN
) -> int:
    times = np.array([opened], np.uint64), np.array([ended], np.uint64)
    found = table.find(np.array([key], np.uint64), np.array([netns], np.uint32), times, np.array([same]), now)
    return int(found[0])


def test_ends_that_did_not_exist_at_one_time_are_not_of_one_connection() -> None:
    table, gap = ConnectionEnds(100, FRESH), 2 * int(OVERLAP_NS)
    add(table, [(5, 1, 70)], opened=gap, ended=2 * gap)
    assert find(table, 5, 2, opened=3 * gap) == UNKNOWN, "opened after that end was closed"
    assert find(table, 5, 2, opened=0, ended=gap // 4) == UNKNOWN, "closed before that end was opened"
    assert find(table, 5, 2, opened=2 * gap + 1) == 70, "the two ends of a connection are seen a little apart"
    add(table, [(5, 3, 80)], opened=4 * gap)
    assert find(table, 5, 2, opened=4 * gap) == 80, "what had the address before makes nothing ambiguous"


def test_only_end_is_found_from_any_namespace() -> None:
    table = ConnectionEnds(100, FRESH)
    add(table, [(5, 1, 70)])
    assert (find(table, 5, 1), find(table, 5, 2), find(table, 6, 1)) == (70, 70, UNKNOWN)


def test_empty_table_finds_nothing() -> None:
    assert find(ConnectionEnds(100, FRESH), 5, 1) == UNKNOWN


def test_two_ends_elsewhere_are_ambiguous_but_the_own_namespace_is_certain() -> None:
    table = ConnectionEnds(100, FRESH)
    add(table, [(5, 1, 70), (5, 2, 80)])
    assert (find(table, 5, 3), find(table, 5, 1), find(table, 5, 2)) == (UNKNOWN, 70, 80)


def test_loopback_is_never_looked_for_in_another_namespace() -> None:
    table = ConnectionEnds(100, FRESH)
    add(table, [(5, 1, 70)])
    assert (find(table, 5, 2, same=True), find(table, 5, 1, same=True)) == (UNKNOWN, 70)


def test_end_not_seen_for_long_is_no_answer_and_makes_nothing_ambiguous() -> None:
    table = ConnectionEnds(100, FRESH)
    add(table, [(5, 1, 70)], now=0)
    add(table, [(5, 2, 80)], now=FRESH)
    assert find(table, 5, 3, now=FRESH + 1) == 80
    assert find(table, 5, 3, now=3 * FRESH) == UNKNOWN


def test_end_seen_again_takes_its_new_number_and_no_room() -> None:
    table = ConnectionEnds(100, FRESH)
    add(table, [(5, 1, 70)])
    add(table, [(5, 1, 71), (6, 1, 72), (5, 1, 73)])
    assert (find(table, 5, 1), len(table)) == (73, 2)


def test_end_of_unknown_owner_says_nothing() -> None:
    table = ConnectionEnds(100, FRESH)
    add(table, [(5, 1, UNKNOWN)])
    assert len(table) == 0


def test_full_table_keeps_those_seen_last_and_counts_the_others() -> None:
    table = ConnectionEnds(8, FRESH)
    for moment in range(12):
        add(table, [(moment, 1, 70 + moment)], now=moment)
    assert len(table) <= 8
    assert find(table, 11, 1, now=11) == 81
    assert table.evicted > 0


def test_many_namespaces_with_one_tuple_do_not_fill_the_table() -> None:
    table = ConnectionEnds(100, FRESH)
    for round_number in range(5):
        for netns in range(20):
            add(table, [(5, netns, 70)], now=round_number)
    assert len(table) <= CANDIDATES


ENDS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3), st.integers(1, 4)), max_size=12)


@given(st.lists(ENDS, max_size=6), st.integers(0, 6), st.integers(1, 4), st.booleans())
def test_table_answers_like_a_dictionary(batches: list[list[End]], key: int, netns: int, same: bool) -> None:
    table = ConnectionEnds(1000, FRESH)
    known: dict[tuple[int, int], int] = {}
    for ends in batches:
        add(table, ends)
        known |= {(end_key, end_netns): number for end_key, end_netns, number in ends}
    elsewhere = [number for (end_key, end_netns), number in known.items() if end_key == key and end_netns != netns]
    expected = elsewhere[0] if len(elsewhere) == 1 and not same else UNKNOWN
    assert find(table, key, netns, same=same) == known.get((key, netns), expected)
    assert len(table) == len(known)
