from __future__ import annotations

import bisect
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.aggregate.histogram import EXPONENTIAL_BUCKETS, FIRST_INDEX, SCALE, BucketLayout, exponential_place
from collector.batch import Column
from collector.instruments import DURATION_BUCKETS

VALUES = st.floats(0, 1e9, allow_nan=False)


def bucket_of(value: float) -> int:
    """The bucket by exact arithmetic: the largest i with base**i < value, where base**4 is 2."""
    fourth = Fraction(value) ** (1 << SCALE)
    index = math.floor((math.log2(value) - 1) * (1 << SCALE))
    while Fraction(2) ** (index + 1) < fourth:
        index += 1
    return index


def places(values: list[float]) -> list[int]:
    return [int(place) - 1 + FIRST_INDEX for place in exponential_place(np.array(values))]


def filled(layout: BucketLayout, rows: list[tuple[int, float]], groups: int) -> Column:
    """A table of so many series after these (series, value)."""
    table = np.zeros((groups, layout.width))
    layout.add(table, np.array([group for group, _ in rows], np.intp), np.array([value for _, value in rows], float))
    return table


@given(st.lists(st.tuples(st.integers(0, 3), VALUES), max_size=40), st.lists(VALUES, max_size=6, unique=True))
def test_explicit_buckets_count_as_a_plain_loop_does(rows: list[tuple[int, float]], bounds: list[float]) -> None:
    layout = BucketLayout(tuple(sorted(bounds)))
    counts = [[0] * (len(bounds) + 1) for _ in range(4)]
    sums = [0.0] * 4
    for group, value in rows:
        counts[group][bisect.bisect_left(layout.bounds, value)] += 1
        sums[group] += value
    amounts = filled(layout, rows, 4)
    for group in range(4):
        counted = layout.value(amounts[group])
        assert list(counted.counts) == counts[group]
        assert counted.sum == pytest.approx(sums[group])
        assert (counted.count, counted.exponential) == (sum(counts[group]), None)


def test_value_on_a_bound_belongs_to_the_bucket_below() -> None:
    layout = BucketLayout(DURATION_BUCKETS)
    amounts = filled(layout, [(0, bound) for bound in DURATION_BUCKETS], 1)
    assert list(layout.value(amounts[0]).counts) == [1] * len(DURATION_BUCKETS) + [0]


@given(st.lists(st.tuples(st.integers(0, 2), VALUES), max_size=40))
def test_exponential_buckets_hold_every_value_of_their_group(rows: list[tuple[int, float]]) -> None:
    layout = BucketLayout((1.0,), exponential=True)
    amounts = filled(layout, rows, 3)
    for group in range(3):
        exponential = layout.value(amounts[group]).exponential
        assert exponential is not None
        wanted = [0] * EXPONENTIAL_BUCKETS
        mine = [value for owner, value in rows if owner == group]
        for value in mine:
            if value > 0:
                wanted[min(max(bucket_of(value) - FIRST_INDEX, 0), EXPONENTIAL_BUCKETS - 1)] += 1
        assert (exponential.scale, exponential.offset) == (SCALE, FIRST_INDEX)
        assert exponential.zero_count == mine.count(0)
        assert list(exponential.counts) == wanted


def test_powers_of_two_are_exact_and_belong_to_the_bucket_below() -> None:
    powers = range(-19, 20)
    assert places([2.0**power for power in powers]) == [4 * power - 1 for power in powers]
    assert places([math.nextafter(2.0**power, math.inf) for power in powers]) == [4 * power for power in powers]
    assert places([math.nextafter(2.0**power, 0) for power in powers]) == [4 * power - 1 for power in powers]


def test_nearest_number_to_each_boundary_belongs_to_the_bucket_below() -> None:
    boundaries = range(FIRST_INDEX + 1, FIRST_INDEX + EXPONENTIAL_BUCKETS)
    assert places([2.0 ** (index / 4) for index in boundaries]) == [index - 1 for index in boundaries]


@given(st.floats(2.0**-19, 2.0**19))
def test_any_value_lies_within_its_bucket(value: float) -> None:
    assert places([value]) == [bucket_of(value)] or value in {2.0 ** (index / 4) for index in range(-76, 77)}


def test_values_outside_are_counted_in_the_outermost_buckets() -> None:
    last = FIRST_INDEX + EXPONENTIAL_BUCKETS - 1
    assert places([5e-324, 1e-9, 2.0**-21, 2.0**21, 1e300]) == [FIRST_INDEX] * 3 + [last] * 2
    assert exponential_place(np.array([0.0, -1.0, -1e-9])).tolist() == [0, 0, 0]


def test_no_values_change_nothing() -> None:
    assert not filled(BucketLayout((1.0,), exponential=True), [], 2).any()
