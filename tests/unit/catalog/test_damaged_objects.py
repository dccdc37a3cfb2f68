"""Whatever stands in a compiled probe, reading it ends soon, with a result or with ManifestError."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from btf_blobs import BtfWriter
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collector.catalog.btf import Btf
from collector.catalog.elf import read_section
from collector.catalog.layout import StructReader
from collector.catalog.probe_folder import Probe, read_probe
from collector.errors import ManifestError

SAMPLE = Path(__file__).resolve().parents[2] / "data/sample_probe"
OBJECT = (SAMPLE / "probe.bpf.o").read_bytes()
TYPES = read_section(OBJECT, ".BTF")
OFTEN = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Damage = list[tuple[int, bytes]]


def damages(length: int) -> st.SearchStrategy[Damage]:
    return st.lists(st.tuples(st.integers(0, length - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)


def damaged(content: bytes, damage: Damage) -> bytes:
    changed = bytearray(content)
    for place, new in damage:
        changed[place : place + len(new)] = new[: len(content) - place]
    return bytes(changed)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Probe]:
    folder = tmp_path_factory.mktemp("probes") / "sample"
    folder.mkdir()
    shutil.copy(SAMPLE / "probe.toml", folder)

    def read_with(content: bytes) -> Probe:
        (folder / "probe.bpf.o").write_bytes(content)
        return read_probe(folder, None)

    return read_with


@OFTEN
@given(damages(len(OBJECT)))
def test_damaged_object_is_read_or_refused(read: Callable[[bytes], Probe], damage: Damage) -> None:
    try:
        assert read(damaged(OBJECT, damage)).name == "sample"
    except ManifestError as error:
        assert error.cause


@OFTEN
@given(st.integers(0, len(OBJECT) - 1))
def test_object_cut_anywhere_is_refused(read: Callable[[bytes], Probe], length: int) -> None:
    with pytest.raises(ManifestError):
        read(OBJECT[:length])


def read_all(types: bytes) -> None:
    reader = StructReader(Btf(types), None)
    for struct in ("tick", "bits", "inexportable"):
        try:
            reader.schema("sample", struct)
        except ManifestError as error:
            assert error.cause
    reader.joined_schema("sample", "bucket")
    reader.variables({})
    reader.maps()
    reader.enum("tick_event")


@OFTEN
@given(damages(len(TYPES)))
def test_damaged_types_are_read_or_refused(damage: Damage) -> None:
    try:
        read_all(damaged(TYPES, damage))
    except ManifestError as error:
        assert error.cause


@given(st.binary(max_size=200))
@example(b"\x7fELF\x02\x01" + b"\xff" * 60)
def test_noise_is_refused(noise: bytes) -> None:
    for content in (noise, OBJECT[:20] + noise, OBJECT[:64] + noise):
        with pytest.raises(ManifestError):
            Btf(read_section(content, ".BTF"))


def test_typedef_of_itself_is_refused() -> None:
    writer = BtfWriter()
    writer.add("typedef", "round", 2)
    writer.add("const", "", 1)
    writer.struct("row", 8, {"value": (1, 0)})
    with pytest.raises(ManifestError, match="field value of struct row is a typedef of itself"):
        StructReader(Btf(writer.written()), None).schema("probe", "row")


def test_array_of_itself_is_refused() -> None:
    writer = BtfWriter()
    writer.array(1, 2)
    writer.struct("row", 8, {"value": (1, 0)})
    with pytest.raises(ManifestError, match="damaged"):
        StructReader(Btf(writer.written()), None).schema("probe", "row")


def test_array_larger_than_its_struct_is_refused_without_being_made() -> None:
    writer = BtfWriter()
    byte = writer.integer("unsigned char", 1)
    writer.struct("row", 8, {"value": (writer.array(writer.array(byte, 1 << 31), 1 << 31), 0)})
    with pytest.raises(ManifestError, match="damaged"):
        StructReader(Btf(writer.written()), None).schema("probe", "row")


def test_integer_of_a_width_that_numpy_lacks_is_refused() -> None:
    writer = BtfWriter()
    writer.struct("row", 16, {"value": (writer.integer("__int128", 16), 0)})
    with pytest.raises(ManifestError, match="field value of struct row is a int"):
        StructReader(Btf(writer.written()), None).schema("probe", "row")
