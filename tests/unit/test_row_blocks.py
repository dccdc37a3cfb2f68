import numpy as np
import pytest

from collector.row_blocks import Block, copy_fields, plan_copy

SOURCE = np.dtype([("flow", "u8"), ("end", "u4"), ("process", "u4"), ("thread", "u4"), ("address", "V16"), ("port", "u2")])
TARGET = np.dtype([("process", "u4"), ("thread", "u4"), ("address", "V16"), ("own", "i8"), ("flow", "u8"), ("port", "u2")])
NAMES = ("process", "thread", "address", "flow", "port")


def test_neighbours_in_both_are_one_block() -> None:
    assert plan_copy(SOURCE, TARGET, NAMES) == [Block(0, 32, 8), Block(12, 0, 24), Block(36, 40, 2)]


def test_fields_are_copied_and_others_stay() -> None:
    source = np.frombuffer(np.random.default_rng(3).bytes(SOURCE.itemsize * 50), SOURCE)
    target = np.zeros(50, TARGET)
    target["own"] = 7
    copy_fields(source, target, NAMES)
    assert all((target[name] == source[name]).all() for name in NAMES)
    assert (target["own"] == 7).all()


def test_rows_of_a_larger_array_are_copied_in_place() -> None:
    source, target = np.zeros(8, SOURCE), np.zeros(8, TARGET)
    source["port"] = range(8)
    copy_fields(source[::2], target[1:5], ("port",))
    assert target["port"].tolist() == [0, 0, 2, 4, 6, 0, 0, 0]


def test_a_field_of_another_form_is_refused() -> None:
    other = np.dtype([("process", "u8")])
    with pytest.raises(TypeError, match="process"):
        plan_copy(SOURCE, other, ("process",))
