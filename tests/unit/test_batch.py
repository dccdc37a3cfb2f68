from __future__ import annotations

import numpy as np
import pytest

from collector.batch import Batch, BatchKind, Column, Field, Schema

DTYPE = np.dtype([("flow", "<u8"), ("name", "S4")])
SCHEMA = Schema("tcp", "row", DTYPE, (Field("flow", "flow_id"), Field("name", "command_name")))


def make() -> Batch:
    rows = np.array([(1, b"a"), (2, b"b"), (3, b"c")], DTYPE)
    return Batch(SCHEMA, BatchKind.EVENTS, rows, {"local": np.array([7, 8, 9])})


def test_columns_of_rows_and_enrichers_are_reached_alike() -> None:
    batch = make()
    assert batch["flow"].tolist() == [1, 2, 3]
    assert batch["local"].tolist() == [7, 8, 9]
    assert ("flow" in batch, "local" in batch, "peer" in batch) == (True, True, False)
    assert len(batch) == 3


def test_added_column_stands_before_a_field_of_its_name() -> None:
    batch = make()
    batch.columns["flow"] = np.array([4, 5, 6])
    assert batch["flow"].tolist() == [4, 5, 6]


@pytest.mark.parametrize("which", [np.array([True, False, True]), np.array([0, 2])])
def test_selection_takes_added_columns_along(which: Column) -> None:
    selected = make().select(which)
    assert (selected["flow"].tolist(), selected["local"].tolist()) == ([1, 3], [7, 9])
    assert (selected.schema, selected.kind) == (SCHEMA, BatchKind.EVENTS)


def test_selected_rows_are_a_copy() -> None:
    batch = make()
    selected = batch.select(np.array([0]))
    selected.rows["flow"] = 99
    assert batch["flow"].tolist() == [1, 2, 3]


def test_missing_column_is_an_error() -> None:
    with pytest.raises((KeyError, ValueError)):
        make()["nothing"]


def test_fields_are_found_by_name_and_by_meaning() -> None:
    assert SCHEMA.field("name").meaning == "command_name"
    assert SCHEMA.first_with_meaning("flow_id") == "flow"
    assert SCHEMA.first_with_meaning("cgroup_id") is None
    with pytest.raises(KeyError):
        SCHEMA.field("nothing")
