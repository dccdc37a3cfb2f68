from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collector.batch import Batch, BatchKind, Field, Schema
from collector.decode.probe_code import ProbeCode, read_code
from collector.errors import ManifestError

SCHEMA = Schema("mine", "row", np.dtype([("size", "<u4")]), (Field("size"),))


def batch(*sizes: int) -> Batch:
    return Batch(SCHEMA, BatchKind.EVENTS, np.array([(size,) for size in sizes], SCHEMA.dtype))


def code(tmp_path: Path, text: str, seconds: float = 5.0) -> ProbeCode:
    path = tmp_path / "probe.py"
    path.write_text(text)
    path.chmod(0o644)
    return read_code("mine", path, seconds)


def test_columns_are_added_in_the_promised_type(tmp_path: Path) -> None:
    made = code(tmp_path, "def columns(record, rows):\n    return {'half': rows['size'] / 2, 'name': [record] * len(rows)}\n")
    rows = batch(3, 4)
    assert made.add_columns(rows, {"half": "f8", "name": "S8"}) == ""
    assert rows["half"].tolist() == [1.5, 2.0]
    assert rows["name"].tolist() == [b"row", b"row"]


def test_rows_are_a_copy(tmp_path: Path) -> None:
    made = code(tmp_path, "def columns(record, rows):\n    rows['size'] = 9\n    return {'x': rows['size']}\n")
    rows = batch(1)
    assert made.add_columns(rows, {"x": "u4"}) == ""
    assert rows["size"].tolist() == [1]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('no')", "probe.py:2: ValueError: no"),
        ("raise SystemExit(3)", "probe.py:2: SystemExit: 3"),
        ("return 1", "gave int and not a dictionary"),
        ("return {}", "gave no column 'x'"),
        ("return {'x': [1]}", "has the shape (1,); there are 2 rows"),
        ("return {'x': ['a', 'b']}", "ValueError"),
    ],
)
def test_what_goes_wrong_is_told_with_its_line(tmp_path: Path, body: str, says: str) -> None:
    rows = batch(1, 2)
    assert says in code(tmp_path, f"def columns(record, rows):\n    {body}\n").add_columns(rows, {"x": "f8"})
    assert "x" not in rows


def test_endless_loop_is_cut_short(tmp_path: Path) -> None:
    loop = "    while True:\n        try:\n            pass\n        except Exception:\n            pass\n"
    text = f"def columns(record, rows):\n{loop}"
    assert "took longer than 0.05 s for 1 rows" in code(tmp_path, text, 0.05).add_columns(batch(1), {"x": "f8"})


def test_alarm_at_the_last_moment_hits_nobody_else(tmp_path: Path) -> None:
    text = "import time\ndef columns(record, rows):\n    time.sleep(0.01)\n    return {'x': rows['size']}\n"
    made = code(tmp_path, text, 0.01)
    outcomes = [made.add_columns(batch(1), {"x": "f8"}) for _ in range(50)]
    assert {outcome.partition(" for ")[0] for outcome in outcomes} <= {"", "probe.py took longer than 0.01 s"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def columns(:\n", "probe.py:1: SyntaxError"),
        ("\nraise RuntimeError('early')\n", "probe.py:2: RuntimeError"),
        ("columns = 3\n", "has no function columns"),
    ],
)
def test_code_that_cannot_be_used_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        code(tmp_path, text)


def test_code_that_others_could_have_written_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "probe.py"
    path.write_text("raise AssertionError('ran')\n")
    path.chmod(0o666)
    with pytest.raises(ManifestError, match="can be written by others"):
        read_code("mine", path, 1.0)
