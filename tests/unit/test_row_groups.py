import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.row_groups import group_keys, group_rows

few_values = st.integers(0, 40)
any_values = st.integers(0, 2**64 - 1)


@given(st.lists(few_values | any_values, max_size=400))
def test_groups_are_those_that_sorting_finds(values: list[int]) -> None:
    keys = np.array(values, np.uint64)
    first, inverse = group_keys(keys)
    unique, expected = np.unique(keys, return_index=True)
    assert sorted(first.tolist()) == sorted(expected.tolist())
    assert len(first) == len(unique)
    assert (keys[first][inverse] == keys).all()


def test_keys_that_fight_for_one_slot_are_told_apart() -> None:
    keys = np.repeat(np.random.default_rng(1).integers(0, 1 << 63, 30_000, np.uint64), 2)
    first, inverse = group_keys(keys)
    assert len(first) == 30_000
    assert (keys[first][inverse] == keys).all()


@given(st.lists(st.tuples(few_values, st.integers(-3, 3)), max_size=200))
def test_rows_are_alike_when_all_their_columns_are(rows: list[tuple[int, int]]) -> None:
    columns = [np.array([row[place] for row in rows], np.int64) for place in range(2)]
    first, inverse = group_rows(columns)
    assert len(first) == len(set(rows))
    assert [rows[first[group]] for group in inverse] == rows
