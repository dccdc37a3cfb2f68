from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.aggregate.series import OVERFLOW, OVERFLOW_ATTRIBUTES, Labels, SeriesTable


def add(table: SeriesTable, amounts: dict[int, float], now: float, rows: int = 1) -> None:
    """As a feed does it; every amount comes from so many rows."""
    keys = np.array(list(amounts), np.uint64)
    places = table.place(keys, lambda place: Labels(int(keys[place]), -1, {"key": int(keys[place])}), now)
    table.updated_at[places] = now
    if not places.all():
        table.count_overflow(rows * int(np.count_nonzero(places == OVERFLOW)), now)
    np.add.at(table.values, places, np.array(list(amounts.values()))[:, None])


def values(table: SeriesTable) -> dict[int, float]:
    """Key -> value; -1 for the overflow series."""
    return {labels.local: float(table.values[place][0]) for place, labels in table.active()}


def test_series_begin_at_their_first_amount_and_add_up() -> None:
    table = SeriesTable(1, 10)
    add(table, {1: 2, 2: 3}, now=100)
    add(table, {2: 4, 3: 1}, now=105)
    assert values(table) == {1: 2, 2: 7, 3: 1}
    started = {labels.local: (table.started_at[place], table.updated_at[place]) for place, labels in table.active()}
    assert started == {1: (100, 100), 2: (100, 105), 3: (105, 105)}


def test_new_place_of_a_wide_table_is_empty() -> None:
    table = SeriesTable(3, 10)
    add(table, dict.fromkeys(range(9), 2.0), now=1)
    assert table.values.shape == (16, 3)
    assert table.values[1:10].tolist() == [[2.0] * 3] * 9
    table.remove(4)
    add(table, {77: 0.0}, now=2)
    assert table.values[4].tolist() == [0.0] * 3


def test_labels_are_made_once_for_each_series() -> None:
    table, asked = SeriesTable(1, 10), list[int]()

    def describe(place: int) -> Labels:
        asked.append(place)
        return Labels(place, -1, {})

    for _ in range(3):
        table.place(np.array([7, 9, 7], np.uint64), describe, 1.0)
    assert asked == [0, 1]


def test_key_that_is_there_twice_has_one_place() -> None:
    table = SeriesTable(1, 10)
    assert table.place(np.array([7, 9, 7], np.uint64), lambda place: Labels(place, -1, {}), 1.0).tolist() == [1, 2, 1]
    assert len(table) == 2


def test_version_moves_when_a_place_may_mean_something_else() -> None:
    table = SeriesTable(1, 10)
    add(table, {1: 1, 2: 1}, now=100)
    assert table.version == 0
    table.remove(1)
    assert table.version == 1


def test_what_is_over_the_limit_is_counted_under_one_series() -> None:
    table = SeriesTable(1, 2)
    add(table, {1: 1, 2: 1}, now=100)
    add(table, {1: 1, 3: 5, 4: 6}, now=101, rows=10)
    assert values(table) == {1: 2, 2: 1, -1: 11}
    assert (len(table), table.overflowed, table.evicted) == (2, 20, 0)
    assert table.active()[-1][1].attributes == OVERFLOW_ATTRIBUTES
    assert (table.started_at[OVERFLOW], table.updated_at[OVERFLOW]) == (101, 101)


def test_overflow_series_is_not_shown_before_it_is_needed() -> None:
    table = SeriesTable(1, 2)
    add(table, {1: 1, 2: 1}, now=100)
    assert OVERFLOW not in dict(table.active())


def test_series_idle_longest_makes_room() -> None:
    table = SeriesTable(1, 2, spare_seconds=60)
    add(table, {1: 1}, now=100)
    add(table, {2: 1}, now=120)
    add(table, {3: 1}, now=159)
    assert values(table) == {1: 1, 2: 1, -1: 1}
    add(table, {3: 7}, now=160)
    assert values(table) == {2: 1, 3: 7, -1: 1}
    assert (table.evicted, table.overflowed) == (1, 1)


def test_reused_place_starts_from_zero_with_its_own_start() -> None:
    table = SeriesTable(1, 2, spare_seconds=60)
    add(table, {1: 5, 2: 1}, now=100)
    (place,) = (place for place, labels in table.active() if labels.local == 1)
    table.remove(place)
    add(table, {3: 2}, now=200)
    assert [(one, labels.local) for one, labels in table.active() if one == place] == [(place, 3)]
    assert (table.values[place][0], table.started_at[place]) == (2, 200)


def test_label_set_that_comes_back_starts_anew() -> None:
    table = SeriesTable(1, 5)
    add(table, {1: 5}, now=100)
    table.remove(1)
    assert values(table) == {}
    add(table, {1: 2}, now=300)
    assert values(table) == {1: 2}
    assert table.started_at[1] == 300


def test_series_of_this_batch_is_not_taken_for_idle() -> None:
    """It was idle until now; a new one behind it in the same batch must look elsewhere."""
    table = SeriesTable(1, 2, spare_seconds=60)
    add(table, {1: 5, 2: 5}, now=100)
    add(table, {1: 1, 3: 1, 4: 1}, now=1000)
    assert values(table) == {1: 6, 3: 1, -1: 1}


def test_flood_of_label_sets_looks_for_a_spare_series_only_once() -> None:
    table = SeriesTable(1, 3000)
    add(table, dict.fromkeys(range(3000), 1.0), now=100)
    for now in (101, 102):
        add(table, dict.fromkeys(range(10_000, 60_000), 1.0), now=now)
    assert (table.overflowed, len(table)) == (100_000, 3000)


Step = tuple[Sequence[int], float]
STEPS = st.lists(
    st.tuples(st.lists(st.integers(0, 7), unique=True, max_size=5), st.sampled_from([1.0, 30.0, 100.0])), max_size=25
)


@settings(deadline=None)
@given(STEPS, st.integers(1, 6))
def test_any_course_keeps_every_amount_and_the_limit(steps: list[Step], limit: int) -> None:
    table, now, used = SeriesTable(1, limit, spare_seconds=60), 1000.0, dict[int, float]()
    for keys, passed in steps:
        now += passed
        before, overflowed = values(table), table.overflowed
        add(table, dict.fromkeys(keys, 1.0), now)
        after = values(table)
        assert len(table) <= limit
        assert after.get(-1, 0) == table.overflowed == overflowed + sum(key not in after for key in keys)
        assert all(now - used[key] >= 60 for key in before if key not in after and key != -1)
        assert all(after[key] in {before.get(key, 0) + 1, 1} for key in keys if key in after)
        assert all(after[key] == before[key] for key in after if key not in keys and key != -1)
        used |= dict.fromkeys(keys, now)
