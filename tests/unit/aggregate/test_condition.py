from __future__ import annotations

import numpy as np
import pytest
from rows_to_count import SCHEMA, ipv4, make_batch

from collector.aggregate.batch_groups import BatchGroups
from collector.aggregate.condition import address_text, compile_tests, label_value
from collector.aggregate.group_numbers import GroupNumbers
from collector.batch import Batch, Column
from collector.catalog.manifest import Condition
from collector.errors import ManifestError


def select_rows(batch: Batch, where: dict[str, Condition], known: list[str]) -> Column:
    rows = BatchGroups(batch, frozenset(), GroupNumbers()).select(compile_tests(batch.schema, where, known))
    return np.isin(np.arange(len(batch)), np.arange(len(batch)) if rows is None else rows)


def test_conditions_hold_together() -> None:
    batch = make_batch(event=[0, 1, 1, 2], last=[True, True, False, True], bytes=[5, 5, 5, 0])
    assert select_rows(batch, {"event": ["closed", "failed"], "last": True}, []).tolist() == [False, True, False, True]
    assert select_rows(batch, {"last": False}, []).tolist() == [False, False, True, False]
    assert select_rows(batch, {}, ["bytes", "last"]).tolist() == [True, True, False, False]
    assert select_rows(batch, {}, []).all()


def test_names_and_numbers_may_be_mixed() -> None:
    batch = make_batch(event=[0, 1, 2, 9], port=[80, 81, 443, 80])
    assert select_rows(batch, {"event": ["open", 9]}, []).tolist() == [True, False, False, True]
    assert select_rows(batch, {"port": [80, 443]}, []).tolist() == [True, False, True, True]


def test_text_is_compared_as_text() -> None:
    batch = make_batch(command=[b"nginx", b"nginx2", b""])
    assert select_rows(batch, {"command": ["nginx"]}, []).tolist() == [True, False, False]


def test_flag_may_stand_for_any_number() -> None:
    batch = make_batch(bytes=[0, 7], error=[-1, 0])
    assert select_rows(batch, {"bytes": True}, []).tolist() == [False, True]
    assert select_rows(batch, {"error": False}, []).tolist() == [False, True]


def test_negative_numbers_are_found_in_signed_columns() -> None:
    assert select_rows(make_batch(error=[-2, 2]), {"error": [-2]}, []).tolist() == [True, False]


def test_columns_of_enrichers_count_too() -> None:
    batch = make_batch(added={"local": [3, 0]}, flow=[1, 2])
    assert select_rows(batch, {"local": [3]}, ["local"]).tolist() == [True, False]


def test_name_that_the_enum_lacks_is_an_error_with_those_it_has() -> None:
    with pytest.raises(ManifestError, match="event is never 'gone'; it is one of open, closed, failed"):
        select_rows(make_batch(event=[1]), {"event": ["gone"]}, [])


def test_column_that_is_missing_is_an_error() -> None:
    with pytest.raises((KeyError, ValueError)):
        select_rows(make_batch(event=[1]), {"nothing": True}, [])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("event", np.uint32(1), "closed"),
        ("event", np.uint32(77), "unknown:77"),
        ("address", ipv4("10.1.2.3"), "10.1.2.3"),
        ("address", np.void(b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"), "2001:db8::1"),
        ("error", np.int32(111), "ECONNREFUSED"),
        ("error", np.int32(0), ""),
        ("error", np.int32(9999), "9999"),
        ("command", np.bytes_(b"nginx: \xff"), "nginx: \ufffd"),
        ("command", b"sh\0leftover", "sh"),
        ("port", np.uint16(443), 443),
        ("last", np.bool_(True), True),
        ("added_by_a_decoder", "example.com", "example.com"),
        ("added_by_a_decoder", np.float64(0.5), 0.5),
        ("added_by_a_decoder", None, "None"),
    ],
)
def test_labels_are_what_people_write(name: str, value: object, text: object) -> None:
    found = label_value(SCHEMA, name, value)
    assert (found, type(found)) == (text, type(text))


def test_unspecified_address_has_a_text_too() -> None:
    assert address_text(bytes(16)) == "::"
