"""Our reading of the compiled structs against bpftool's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collector.catalog.probe_folder import Probe, object_path

BPFTOOL = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(BPFTOOL is None, reason="bpftool is not installed")
TRANSPARENT = ("TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG")
Types = Mapping[int, Mapping[str, Any]]


@pytest.fixture
def types(folder: Path) -> Types:
    listed = subprocess.run(
        [str(BPFTOOL), "--json", "btf", "dump", "file", str(object_path(folder))], check=True, capture_output=True
    )
    return {entry["id"]: entry for entry in json.loads(listed.stdout)["types"]}


def size_of(types: Types, number: int) -> int:
    entry = types[number]
    if entry["kind"] in TRANSPARENT:
        return size_of(types, entry["type_id"])
    if entry["kind"] == "ARRAY":
        return int(entry["nr_elems"]) * size_of(types, entry["type_id"])
    return 8 if entry["kind"] == "PTR" else int(entry["size"])


def structs_of(probe: Probe) -> dict[str, np.dtype[np.void]]:
    """C struct -> our dtype, for every record and the books."""
    found = {"program_account": probe.book_dtype}
    for record in probe.manifest.record:
        if record.map:
            layout = probe.map_layouts[record.struct]
            found |= {f"{record.struct}_key": layout.key, f"{record.struct}_value": layout.value}
        elif record.struct in probe.schemas:
            found[record.struct] = probe.schemas[record.struct].dtype
    return found


def struct(types: Types, name: str) -> Mapping[str, Any]:
    return next(entry for entry in types.values() if entry["kind"] == "STRUCT" and entry["name"] == name)


def test_fields_lie_where_bpftool_says(probe: Probe, types: Types) -> None:
    for name, dtype in structs_of(probe).items():
        members = [one for one in struct(types, name)["members"] if not one["name"].startswith("pad")]
        theirs = {one["name"]: (one["bits_offset"] // 8, size_of(types, one["type_id"])) for one in members}
        assert dtype.fields is not None
        assert {field: (entry[1], entry[0].itemsize) for field, entry in dtype.fields.items()} == theirs, name
        assert dtype.itemsize == struct(types, name)["size"], name


def test_structs_have_no_holes_that_nobody_fills(probe: Probe, types: Types) -> None:
    for name in structs_of(probe):
        end = 0
        for member in struct(types, name)["members"]:
            assert member["bits_offset"] == 8 * end, f"a hole before {member['name']} of struct {name}"
            end += size_of(types, member["type_id"])
        assert end == struct(types, name)["size"], f"a hole at the end of struct {name}"


def test_enums_have_the_values_that_bpftool_shows(probe: Probe, types: Types) -> None:
    """Those that are the probe's own; enums of the kernel are named by the running kernel."""
    enums = {entry["name"]: entry for entry in types.values() if entry["kind"] in ("ENUM", "ENUM64")}
    for schema in probe.schemas.values():
        for field in schema.fields:
            if field.names and not field.meaning.startswith("skb_"):
                values = {one["val"]: one["name"] for one in reversed(enums[field.meaning]["values"])}
                assert set(field.names) == set(values), field.name
                assert all(values[number].lower().endswith(name) for number, name in field.names.items()), field.name


def test_iterators_write_what_fits_their_buffer(probe: Probe) -> None:
    """bpf_seq_write takes at most what a fresh buffer holds (8 pages, kernel/bpf/bpf_iter.c), a perf record 64 KiB."""
    for name, dtype in structs_of(probe).items():
        assert dtype.itemsize <= 8 * 4096, name
