from __future__ import annotations

import struct
from pathlib import Path

import pytest

from collector.catalog.elf import read_section, read_symbols
from collector.errors import ManifestError

OBJECT = (Path(__file__).resolve().parents[2] / "data/sample_probe/probe.bpf.o").read_bytes()


def with_field(offset: int, layout: str, value: int) -> bytes:
    changed = bytearray(OBJECT)
    struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def test_section_is_found_by_name() -> None:
    assert read_section(OBJECT, ".BTF").startswith(b"\x9f\xeb")
    assert read_section(OBJECT, "license") == b"Dual BSD/GPL\0"


def test_missing_section_is_named() -> None:
    with pytest.raises(ManifestError, match=r"no section \.BTF\.other") as refusal:
        read_section(OBJECT, ".BTF.other")
    assert "clang -g" in refusal.value.remedy


def test_symbols_know_where_variables_lie() -> None:
    symbols = read_symbols(OBJECT)
    assert {symbols["use_perf_buffer"], symbols["agent_process_id"], symbols["watched_ports"]} == {0, 4, 16}


def test_object_for_another_architecture_is_refused_by_number() -> None:
    with pytest.raises(ManifestError, match="machine 62"):
        read_section(with_field(18, "<H", 62), ".BTF")


def test_object_of_another_byte_order_is_refused() -> None:
    with pytest.raises(ManifestError, match="byte order 2"):
        read_section(with_field(5, "B", 2), ".BTF")


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x01" + bytes(100), b"!<arch>\n" + bytes(100)])
def test_what_is_no_64_bit_elf_file_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestError, match="not a 64-bit ELF file"):
        read_section(content, ".BTF")


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [(40, "<Q", 1 << 63), (40, "<Q", len(OBJECT)), (58, "<H", 0), (58, "<H", 63), (60, "<H", 65535), (62, "<H", 65535)],
)
def test_section_table_that_leads_nowhere_is_refused(offset: int, layout: str, value: int) -> None:
    with pytest.raises(ManifestError, match="damaged"):
        read_section(with_field(offset, layout, value), ".BTF")
