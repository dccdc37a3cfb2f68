"""The bounded history: the newest rows, in order, and views that stand still."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.store import history
from collector.store.history import History

NUMBER = np.dtype([("number", "i8"), ("name", "O")])


def rows(numbers: range) -> np.ndarray:
    made = np.zeros(len(numbers), NUMBER)
    made["number"] = numbers
    made["name"] = [str(number) for number in numbers]
    return made


def numbers(kept: History) -> list[int]:
    return [number for part in kept.view() for number in part["number"].tolist()]


@given(st.integers(1, 30), st.lists(st.integers(0, 40), max_size=12))
def test_it_holds_the_newest_rows_and_counts_the_others(capacity: int, sizes: list[int]) -> None:
    kept = History(NUMBER, capacity)
    kept._segment_rows = min(7, capacity)  # several segments without thousands of rows
    written = 0
    for size in sizes:
        kept.append(rows(range(written, written + size)))
        written += size
        assert numbers(kept) == list(range(max(0, written - capacity), written))
        assert len(kept) == min(written, capacity)
        assert kept.overwritten == max(0, written - capacity)


def test_a_view_keeps_what_is_overwritten_meanwhile() -> None:
    kept = History(NUMBER, 10)
    kept.append(rows(range(10)))
    view = kept.view()
    kept.append(rows(range(10, 40)))
    assert [name for part in view for name in part["name"]] == [str(number) for number in range(10)]


def test_memory_is_taken_segment_by_segment() -> None:
    kept = History(NUMBER, 10 * history.SEGMENT_ROWS)
    kept.append(rows(range(3)))
    assert [len(part) for part in kept.view()] == [3]
    assert len(kept._segments) == 1


def test_a_history_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        History(NUMBER, 0)
