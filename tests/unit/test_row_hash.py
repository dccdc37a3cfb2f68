from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_to_count import ipv4

from collector.batch import Column
from collector.row_hash import hash_rows


def column(dtype: str, values: list[object]) -> Column:
    made = np.zeros(len(values), dtype)
    for index, value in enumerate(values):
        made[index] = value
    return made


def groups_of(columns: list[Column]) -> list[int]:
    """For each row the number of the first row that is equal to it, by hash."""
    seen: dict[int, int] = {}
    return [seen.setdefault(int(key), row) for row, key in enumerate(hash_rows(columns))]


def groups_by_value(columns: list[Column]) -> list[int]:
    seen: dict[tuple[object, ...], int] = {}
    return [seen.setdefault(values, row) for row, values in enumerate(zip(*(one.tolist() for one in columns), strict=True))]


ROW = st.tuples(
    st.integers(0, 3),
    st.integers(-2, 2),
    st.booleans(),
    st.sampled_from([b"", b"nginx", b"nginx2", b"a name of 16 byt"]),
    st.binary(min_size=16, max_size=16) | st.just(bytes(16)),
    st.sampled_from(["", "a.example", "b.example"]),
    st.sampled_from([0.0, -0.0, 0.1, 0.2, 1e300, -1.0]),
)
DTYPES = ("<u4", "<i8", "?", "S16", "V16", "O", "<f8")


@given(st.lists(ROW, max_size=60))
def test_equal_rows_and_only_those_have_one_hash(rows: list[tuple[object, ...]]) -> None:
    columns = [
        column(dtype, [np.void(value) if isinstance(value, bytes) and dtype == "V16" else value for value in values])
        for dtype, values in zip(DTYPES, zip(*rows, strict=True) if rows else [()] * len(DTYPES), strict=True)
    ]
    assert groups_of(columns) == groups_by_value(columns)


@given(st.lists(st.tuples(st.sampled_from(["", "nginx", "ngin", "é"]), st.floats(width=32, allow_nan=False))))
def test_text_and_short_floats_are_grouped_too(rows: list[tuple[str, float]]) -> None:
    columns = [column("U5", [text for text, _ in rows]), column("<f4", [number for _, number in rows])]
    assert groups_of(columns) == groups_by_value(columns)


def test_neighbouring_columns_are_not_run_together() -> None:
    assert len(set(hash_rows([column("S2", [b"a", b"ab"]), column("S2", [b"bc", b"c"])]).tolist())) == 2
    assert len(set(hash_rows([column("<u8", [1, 2]), column("<u8", [2, 1])]).tolist())) == 2


def test_one_column_of_numbers_never_collides() -> None:
    numbers = np.arange(200_000, dtype=np.uint64) * np.uint64(1 << 44)
    assert len(np.unique(hash_rows([numbers]))) == len(numbers)


def test_many_rows_of_small_numbers_do_not_collide() -> None:
    first, second = np.meshgrid(np.arange(400, dtype=np.int32), np.arange(400, dtype=np.uint16))
    assert len(np.unique(hash_rows([first.ravel(), second.ravel()]))) == 160_000


@pytest.mark.parametrize("dtype", ["V16", "S16"])
def test_column_inside_rows_is_read_where_it_lies(dtype: str) -> None:
    rows = np.zeros(3, np.dtype([("before", "<u4"), ("value", dtype), ("after", "<u4")]))
    rows["value"], rows["after"] = ipv4("10.0.0.1") if dtype == "V16" else b"nginx", [1, 2, 3]
    assert len(set(hash_rows([rows["value"]]).tolist())) == 1


def test_no_rows_have_no_hashes() -> None:
    assert hash_rows([np.zeros(0, "S16"), np.zeros(0, "V16"), np.zeros(0, "u8")]).shape == (0,)
