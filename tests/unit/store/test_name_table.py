"""Codes for names: small, stable, bounded."""

from __future__ import annotations

import numpy as np

from collector.store.name_table import NAMES_MAX, NameTable


def test_a_name_keeps_its_code() -> None:
    table = NameTable("tcp")
    assert (table.code(""), table.code("tcp"), table.code("udp"), table.code("tcp")) == (0, 1, 2, 1)
    assert table.names == ("", "tcp", "udp")
    assert table.codes(("udp", "sctp")) == [2]


def test_values_without_a_name_are_called_by_their_number() -> None:
    table = NameTable()
    codes = table.encode(np.array([1, 65280, 1], np.uint16), {1: "a"})
    assert [table.names[code] for code in codes] == ["a", "65280", "a"]
    assert codes.dtype == np.uint8


def test_a_flood_of_names_is_bounded() -> None:
    table = NameTable()
    codes = table.encode(np.arange(5000, dtype=np.uint16), {})
    assert len(table.names) == NAMES_MAX
    assert {table.names[code] for code in codes[NAMES_MAX:]} == {""}
