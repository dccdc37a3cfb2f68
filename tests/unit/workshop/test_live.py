from __future__ import annotations

import json

import numpy as np
import pytest

from collector.batch import Batch, BatchKind, Field, Schema
from collector.workshop.live import Screen, rows_of

DTYPE = np.dtype([("port", "<u2"), ("value", "<u8")])
SCHEMA = Schema("mine", "waits", DTYPE, tuple(Field(name) for name in DTYPE.names or ()))


def table(*rows: tuple[int, int]) -> Batch:
    return Batch(SCHEMA, BatchKind.SNAPSHOT, np.array(list(rows), DTYPE))


def test_a_table_read_again_shows_what_changed_under_one_heading(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    for batch in (table((80, 1), (443, 5)), table((80, 1), (443, 5)), table((80, 3), (443, 5), (22, 1))):
        screen.show_changes(batch, list(rows_of(batch, 0)))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    times = [line[2:] for line in lines if line[0] == "--"]
    assert times == [["2", "of", "2", "changed"], ["2", "of", "3", "changed"]]
    assert [line for line in lines if line[0] != "--"] == [["PORT", "VALUE"], ["80", "1"], ["443", "5"], ["80", "3"], ["22", "1"]]


def test_a_table_as_json_has_a_line_for_each_change_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    for batch in (table((80, 1)), table((80, 1), (22, 1))):
        screen.show_changes(batch, list(rows_of(batch, 0)))
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["record"], row["port"], row["value"]) for row in rows] == [("waits", 80, 1), ("waits", 22, 1)]
