from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.aggregate.group_numbers import GroupNumbers, hash_numbers

ROW = st.tuples(st.integers(-2, 40), st.integers(0, 3), st.booleans())
DTYPES = ("<i4", "u1", "?")


@settings(deadline=None)
@given(st.lists(st.lists(ROW, min_size=1, max_size=40), max_size=6), st.integers(1, 60))
def test_equal_rows_keep_their_number_until_all_are_given_anew(batches: list[list[tuple[int, int, bool]]], limit: int) -> None:
    memory, seen, generation = GroupNumbers(limit), dict[tuple[int, int, bool], int](), 0
    for rows in batches:
        numbers = memory.number([np.array(values, dtype) for values, dtype in zip(zip(*rows, strict=True), DTYPES, strict=True)])
        if memory.generation != generation:
            seen, generation = {}, memory.generation
        for row, number in zip(rows, numbers.tolist(), strict=True):
            assert seen.setdefault(row, number) == number
        assert sorted(seen.values()) == list(range(len(seen)))
        assert len(memory) == len(seen) <= max(limit, *(len(set(batch)) for batch in batches))


def test_more_groups_than_the_limit_in_one_batch_are_told_apart() -> None:
    memory = GroupNumbers(limit=10)
    assert len(set(memory.number([np.arange(500)]).tolist())) == 500
    assert memory.number([np.arange(500)[::-1]]).tolist() == memory.number([np.arange(500)]).tolist()[::-1]
    assert sorted(memory.number([np.array([1000, 3])]).tolist()) == [0, 1]


def test_groups_that_share_a_slot_are_told_apart() -> None:
    """Seventy thousand groups do not fit into 65,536 slots."""
    memory, values = GroupNumbers(limit=100_000), np.arange(70_000)
    first = memory.number([values])
    assert len(np.unique(first)) == len(values)
    for _ in range(2):
        assert (memory.number([values]) == first).all()


def test_group_whose_hash_is_zero_is_not_taken_for_an_empty_slot() -> None:
    zero = np.zeros(3, np.uint32)
    assert hash_numbers([zero, zero]).tolist() == [0, 0, 0]
    memory = GroupNumbers()
    assert memory.number([np.array([5], np.uint32), zero[:1]]).tolist() == [0]
    assert memory.number([zero, zero]).tolist() == [1, 1, 1]


def test_columns_change_places_without_being_taken_for_each_other() -> None:
    first, second = np.meshgrid(np.arange(300, dtype=np.int32), np.arange(300, dtype=np.uint16))
    assert len(np.unique(hash_numbers([first.ravel(), second.ravel()]))) == 90_000
