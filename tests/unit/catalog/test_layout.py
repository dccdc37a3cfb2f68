from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from btf_blobs import BtfWriter

from collector.catalog.btf import Btf, KernelTypes
from collector.catalog.elf import read_section, read_symbols
from collector.catalog.layout import StructReader, shorten_names
from collector.errors import ManifestError

OBJECT = (Path(__file__).resolve().parents[2] / "data/sample_probe/probe.bpf.o").read_bytes()


@pytest.fixture(scope="module")
def reader() -> StructReader:
    return StructReader(Btf(read_section(OBJECT, ".BTF")), None)


def test_every_kind_of_member_has_its_place_and_format(reader: StructReader) -> None:
    dtype = reader.schema("sample", "tick").dtype
    assert dtype.itemsize == 128
    assert dtype.fields is not None
    assert {
        name: (entry[0].str if not entry[0].shape else entry[0].base.str, entry[1]) for name, entry in dtype.fields.items()
    } == {
        "flow": ("<u8", 0),
        "opened_at": ("<u8", 8),
        "duration": ("<u8", 16),
        "bytes": ("<u8", 24),
        "remote_address": ("|V16", 32),
        "command": ("|S16", 48),
        "ticks": ("<u4", 64),
        "smoothed": ("<u4", 68),
        "error": ("<i4", 72),
        "event": ("<u4", 76),
        "level": ("<u4", 80),
        "weather": ("<u4", 84),
        "offset": ("<i8", 88),
        "ports": ("<u2", 96),
        "grid": ("|u1", 104),
        "text": ("|S6", 110),
        "last": ("|b1", 116),
        "small": ("|i1", 117),
        "plain": ("<u8", 120),
    }
    assert dtype["ports"].shape == (4,)
    assert dtype["grid"].shape == (2, 3)


def test_meaning_is_the_typedef_behind_qualifiers_or_the_enum(reader: StructReader) -> None:
    schema = reader.schema("sample", "tick")
    meanings = {name: schema.field(name).meaning for name in ("flow", "ticks", "command", "event", "offset", "ports", "plain")}
    assert meanings == {
        "flow": "flow_id", "ticks": "counted_ticks", "command": "command_name", "event": "tick_event",
        "offset": "", "ports": "", "plain": "",
    }  # fmt: skip
    assert schema.field("event").names == {0: "started", 7: "ended"}
    assert schema.field("weather").names == {1: "sunny", 2: "rainy"}


def test_missing_struct_is_named(reader: StructReader) -> None:
    with pytest.raises(ManifestError, match="no struct tock"):
        reader.schema("sample", "tock")


def test_bit_field_is_refused_not_misread(reader: StructReader) -> None:
    with pytest.raises(ManifestError, match="field three of struct bits is a bit field"):
        reader.schema("sample", "bits")


def test_nested_struct_is_refused_by_its_field(reader: StructReader) -> None:
    with pytest.raises(ManifestError, match=r"field nested of struct inexportable is a struct \(bucket_key\)"):
        reader.schema("sample", "inexportable")


def test_variables_have_section_place_and_size(reader: StructReader) -> None:
    found = {one.name: (one.section, one.offset, one.size, one.dtype.str) for one in reader.variables(read_symbols(OBJECT))}
    assert found == {
        "use_perf_buffer": (".rodata", 0, 1, "|b1"),
        "agent_process_id": (".rodata", 4, 4, "<u4"),
        "ticks_wake_at": (".rodata", 8, 8, "<u8"),
        "watched_ports": (".rodata", 16, 8, "<u2"),
        "next_flow": (".data", 0, 8, "<u8"),
        "ticks_woken_at": (".bss", 0, 8, "<u8"),
        "sweep_wanted": (".bss", 8, 8, "<u8"),
    }


def test_maps_and_programs_are_known_by_name(reader: StructReader) -> None:
    assert reader.maps() == {"accounts", "buckets", "ticks", "ticks_record"}
    assert reader.functions() == {"tick", "read_buckets"}


def test_key_and_value_become_one_row_with_processors_added_up(reader: StructReader) -> None:
    schema, layout = reader.joined_schema("sample", "bucket")
    assert layout.key_fields == ("cgroup", "port", "event")
    keys = np.zeros(2, layout.key)
    keys["cgroup"], keys["port"], keys["event"] = [5, 6], [80, 443], [0, 7]
    values = np.zeros((2, 3), layout.value)
    values["bytes"], values["rows"] = [[1, 2, 3], [4, 5, 6]], [[1, 1, 1], [0, 0, 2]]
    values["observed_at"] = [[10, 30, 20], [7, 8, 9]]
    rows = layout.join(keys.view(np.uint8).reshape(2, -1), values.view(np.uint8).reshape(2, 3, -1), schema.dtype)
    assert rows.tolist() == [(5, 80, 0, 30, 6, 3), (6, 443, 7, 9, 15, 2)]


def test_values_are_cut_to_their_size_when_the_kernel_rounded_it_up() -> None:
    writer = BtfWriter()
    word = writer.integer("unsigned int", 4)
    writer.struct("hit_key", 4, {"port": (word, 0)})
    writer.struct("hit_value", 12, {"hits": (word, 0), "late": (word, 4), "lost": (word, 8)})
    schema, layout = StructReader(Btf(writer.written()), None).joined_schema("probe", "hit")
    values = np.zeros((1, 2, 16), np.uint8)
    values[0, :, 0], values[0, :, 12] = [1, 2], 255
    assert layout.join(np.array([[80, 0, 0, 0]], np.uint8), values, schema.dtype).tolist() == [(80, 3, 0, 0)]


def test_bcc_table_may_have_a_struct_for_its_key_and_a_number_for_its_value() -> None:
    writer = BtfWriter()
    word = writer.integer("unsigned int", 4)
    key = writer.struct("hit_key", 4, {"port": (word, 0)})
    writer.struct("____btf_map_hits", 8, {"key": (key, 0), "value": (word, 4)})
    schema, _ = StructReader(Btf(writer.written()), None).joined_schema("probe", "hit", "hits")
    assert schema.dtype.names == ("port", "value")


def test_name_in_key_and_value_is_refused() -> None:
    writer = BtfWriter()
    word = writer.integer("unsigned int", 4)
    for struct in ("hit_key", "hit_value"):
        writer.struct(struct, 4, {"port": (word, 0)})
    with pytest.raises(ManifestError, match="field port is both in struct hit_key and hit_value"):
        StructReader(Btf(writer.written()), None).joined_schema("probe", "hit")


def test_running_kernel_names_an_enum_that_the_object_knows_too() -> None:
    own, kernel = BtfWriter(), BtfWriter()
    own.enum("drop_reason", {"DROP_REASON_NO_SOCKET": 2, "DROP_REASON_CSUM": 3})
    kernel.enum("drop_reason", {"DROP_REASON_NO_SOCKET": 2, "DROP_REASON_NEW": 3, "DROP_REASON_CSUM": 4})
    reader = StructReader(Btf(own.written()), KernelTypes(kernel.written()))
    assert reader.enum("drop_reason") == {2: "no_socket", 3: "new", 4: "csum"}


def test_namesake_in_the_kernel_does_not_rename_an_enum_of_the_probe() -> None:
    own, kernel = BtfWriter(), BtfWriter()
    own.enum("account", {"ACCOUNT_SENT": 0})
    kernel.enum("account", {"IGP_OTHER": 0})
    assert StructReader(Btf(own.written()), KernelTypes(kernel.written())).enum("account") == {0: "sent"}


@pytest.mark.parametrize(
    ("enum", "values", "short"),
    [
        ("flow_role", {0: "FLOW_ROLE_UNKNOWN", 1: "FLOW_ROLE_CLIENT"}, {0: "unknown", 1: "client"}),
        ("skb_drop_reason", {0: "SKB_NOT_DROPPED_YET", 2: "SKB_DROP_REASON_CSUM"}, {0: "not_dropped_yet", 2: "csum"}),
        ("weather", {0: "SUNNY", 1: "RAINY"}, {0: "sunny", 1: "rainy"}),
        ("one", {0: "ONE"}, {0: "one"}),
        ("none", {}, {}),
    ],
)
def test_names_lose_the_prefix_of_their_enum(enum: str, values: dict[int, str], short: dict[int, str]) -> None:
    assert shorten_names(enum, values) == short
