"""Finds a section in a compiled probe. ELF64 as in elf(5); nothing more than that."""

from __future__ import annotations

import struct

from collector.errors import ManifestError

IDENTITY = b"\x7fELF\x02"
MACHINE_BPF = 247
SECTION = struct.Struct("<IIQQQQIIQQ")


def read_section(elf: bytes, wanted: str) -> bytes:
    """The bytes of section `wanted`; ManifestError when this is no little-endian BPF object or has no such section."""
    if len(elf) < 64 or not elf.startswith(IDENTITY):
        raise ManifestError("The compiled probe is not a 64-bit ELF file.", "Compile it again: make -C probes.")
    machine = struct.unpack_from("<H", elf, 18)[0]
    if elf[5] != 1 or machine != MACHINE_BPF:
        raise ManifestError(
            f"The compiled probe is for machine {machine}, byte order {elf[5]}; needed: BPF (247), little-endian (1).",
            "Compile it on this machine: make -C probes clean all.",
        )
    try:
        return _find_section(elf, wanted)
    except (struct.error, IndexError, ValueError):
        raise ManifestError("The compiled probe is damaged.", "Compile it again: make -C probes.") from None


def _find_section(elf: bytes, wanted: str) -> bytes:
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names_index = struct.unpack_from("<HHH", elf, 58)
    headers = [SECTION.unpack_from(elf, table + size * index) for index in range(count)]
    names = headers[names_index][4]
    for name, _, _, _, offset, length, *_ in headers:
        start = names + name
        if elf[start : elf.index(b"\0", start)] == wanted.encode():
            return elf[offset : offset + length]
    raise ManifestError(f"The compiled probe has no section {wanted}.", "Compile it with clang -g: make -C probes.")
