"""Finds a section in a compiled probe. ELF64 as in elf(5); nothing more than that."""

from __future__ import annotations

import struct

from collector.catalog.damage import REMEDY, damage_reported
from collector.errors import ManifestError

IDENTITY = b"\x7fELF\x02"
MACHINE_BPF = 247
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")


def read_section(elf: bytes, wanted: str) -> bytes:
    """The bytes of section `wanted`; ManifestError when this is no little-endian BPF object or has no such section."""
    check_header(elf)
    with damage_reported():
        found = read_sections(elf).get(wanted)
    if found is None:
        raise ManifestError(f"The compiled probe has no section {wanted}.", "Compile it with clang -g: make -C probes.")
    return elf[found]


def read_symbols(elf: bytes) -> dict[str, int]:
    """symbol -> offset in its section (compilers leave the offsets in BTF's data sections zero)."""
    check_header(elf)
    with damage_reported():
        sections = read_sections(elf)
        names, table = elf[sections[".strtab"]], elf[sections[".symtab"]]
        return {names[name : names.index(b"\0", name)].decode(): value for name, _, _, _, value, _ in SYMBOL.iter_unpack(table)}


def check_header(elf: bytes) -> None:
    if len(elf) < 64 or not elf.startswith(IDENTITY):
        raise ManifestError("The compiled probe is not a 64-bit ELF file.", REMEDY)
    machine = struct.unpack_from("<H", elf, 18)[0]
    if elf[5] != 1 or machine != MACHINE_BPF:
        raise ManifestError(
            f"The compiled probe is for machine {machine}, byte order {elf[5]}; needed: BPF (247), little-endian (1).",
            "Compile it on this machine: make -C probes clean all.",
        )


def read_sections(elf: bytes) -> dict[str, slice]:
    """Where each section lies; of two with one name the first."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names_index = struct.unpack_from("<HHH", elf, 58)
    if size != SECTION.size:
        raise ValueError(f"section headers of {size} bytes")
    headers = [SECTION.unpack_from(elf, table + size * index) for index in range(count)]
    names = headers[names_index][4]
    found: dict[str, slice] = {}
    for name, _, _, _, offset, length, *_ in headers:
        start = names + name
        found.setdefault(elf[start : elf.index(b"\0", start)].decode(), slice(offset, offset + length))
    return found
