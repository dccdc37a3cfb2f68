from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.catalog.map_users import read_map_users
from collector.errors import ManifestError

ROOT = Path(__file__).resolve().parents[3]
OBJECT = (ROOT / "tests/data/sample_probe/probe.bpf.o").read_bytes()


def test_maps_are_found_through_functions_that_a_program_calls() -> None:
    """And those of ways that are not taken stay out of it."""
    users = read_map_users((ROOT / "probes/build/socket_data.bpf.o").read_bytes())
    assert "streams" in users["bytes_sent"]
    assert "address_streams" not in users["bytes_sent"]
    assert {"address_streams", "exchanges", "stream_modes"} <= users["inet_sent"]
    assert users["send_begins"] == {"socket_calls"}
    idle = read_map_users((ROOT / "probes/build/hook_kinds.bpf.o").read_bytes())
    assert set(idle.values()) == {frozenset()}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(OBJECT) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_object_is_read_or_refused(place: int, new: bytes) -> None:
    changed = bytearray(OBJECT)
    changed[place : place + len(new)] = new
    try:
        assert all(isinstance(maps, frozenset) for maps in read_map_users(bytes(changed)).values())
    except ManifestError as error:
        assert error.cause


def test_text_is_no_object() -> None:
    with pytest.raises(ManifestError, match="not a 64-bit ELF file"):
        read_map_users(b"way")
