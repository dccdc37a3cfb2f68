"""Reads BPF Type Format: struct layouts out of a compiled probe, enum names out of the running kernel.

Format: Documentation/bpf/btf.rst in the kernel tree. Pure: bytes in, types out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from collector.catalog.damage import REMEDY, damage_reported
from collector.errors import ManifestError

MAGIC = 0xEB9F
HEADER = struct.Struct("<HBBIIIII")
WORDS = struct.Struct("<III")
KINDS = (
    "void", "int", "ptr", "array", "struct", "union", "enum", "fwd", "typedef", "volatile", "const", "restrict",
    "func", "func_proto", "var", "datasec", "float", "decl_tag", "type_tag", "enum64",
)  # fmt: skip
# How many bytes follow a type: once, and per element.
TRAILER = {
    "int": (4, 0), "array": (12, 0), "struct": (0, 12), "union": (0, 12), "enum": (0, 8), "func_proto": (0, 8),
    "var": (4, 0), "datasec": (0, 12), "decl_tag": (4, 0), "enum64": (0, 12),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BtfType:
    """size_or_type: bytes of a struct, union, enum or int; the type referred to otherwise. body: the offset of what follows."""

    kind: str
    name: str
    elements: int
    flag: bool
    size_or_type: int
    body: int


@dataclass(frozen=True, slots=True)
class Member:
    """bits: of a bit field its width, 0 for any other member."""

    name: str
    type_id: int
    byte_offset: int
    bits: int = 0


@dataclass(slots=True)
class Btf:
    """All types of one BTF blob; ids start at 1, 0 is void. ManifestError when it is no BTF or damaged.

    What a method reads lies behind a type: for damaged bytes it raises one of damage.FAULTS.
    """

    data: bytes
    types: list[BtfType] = field(default_factory=list)
    by_name: dict[tuple[str, str], int] = field(default_factory=dict)
    strings: int = 0

    def __post_init__(self) -> None:
        start, length, strings = sections(self.data)
        self.strings = strings
        self.types.append(BtfType("void", "", 0, False, 0, 0))
        with damage_reported():
            for entry in self._walk(start, start + length):
                self.by_name.setdefault((entry.kind, entry.name), len(self.types))
                self.types.append(entry)

    def _walk(self, position: int, end: int) -> Iterator[BtfType]:
        while position < end:
            name, info, size_or_type = WORDS.unpack_from(self.data, position)
            kind, elements = KINDS[(info >> 24) & 0x1F], info & 0xFFFF
            body = position + WORDS.size
            yield BtfType(kind, self.text(name), elements, bool(info >> 31), size_or_type, body)
            once, each = TRAILER.get(kind, (0, 0))
            position = body + once + each * elements

    def text(self, offset: int) -> str:
        return text_at(self.data, self.strings + offset)

    def find(self, kind: str, name: str) -> int | None:
        """Id of the first type of that kind and name."""
        return self.by_name.get((kind, name))

    def members(self, type_id: int) -> list[Member]:
        """Members of a struct or union; bit fields are given by the byte they begin in."""
        owner = self.types[type_id]
        found = []
        for index in range(owner.elements):
            name, member_type, offset = WORDS.unpack_from(self.data, owner.body + 12 * index)
            width, bits = (offset >> 24, offset & 0xFFFFFF) if owner.flag else (0, offset)
            found.append(Member(self.text(name), member_type, bits // 8, width))
        return found

    def array(self, type_id: int) -> tuple[int, int]:
        """(element type, number of elements)."""
        element, _, count = WORDS.unpack_from(self.data, self.types[type_id].body)
        return element, count

    def is_signed(self, type_id: int) -> bool:
        """Of an int."""
        (encoding,) = struct.unpack_from("<I", self.data, self.types[type_id].body)
        return bool((encoding >> 24) & 1)

    def section_members(self, name: str) -> list[Member]:
        """Variables of a data section (.rodata, .bss, .data): name, type, offset; empty when there is no such section."""
        type_id = self.find("datasec", name)
        found = []
        for index in range(self.types[type_id].elements if type_id else 0):
            variable, offset, _ = WORDS.unpack_from(self.data, self.types[type_id or 0].body + 12 * index)
            found.append(Member(self.types[variable].name, self.types[variable].size_or_type, offset))
        return found

    def enum_values(self, type_id: int) -> dict[int, str]:
        """number -> C name."""
        entry = self.types[type_id]
        return read_enum(self.data, entry.body, entry.elements, wide=entry.kind == "enum64", signed=entry.flag, text=self.text)


def text_at(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def sections(data: bytes) -> tuple[int, int, int]:
    """(start of the types, their length, start of the strings) as offsets into `data`."""
    if len(data) < HEADER.size:
        raise ManifestError("The probe's type information (BTF) is cut short.", REMEDY)
    magic, _, _, header, type_start, type_length, string_start, _ = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ManifestError(
            f"The type information (BTF) starts with {magic:#x} and not {MAGIC:#x}: another byte order, or no BTF.",
            "Use an object compiled for this machine's architecture.",
        )
    return header + type_start, type_length, header + string_start


def read_enum(data: bytes, body: int, elements: int, *, wide: bool, signed: bool, text: Callable[[int], str]) -> dict[int, str]:
    """number -> C name; btf_enum (8 bytes each) or btf_enum64 (12)."""
    values: dict[int, str] = {}
    for index in range(elements):
        if wide:
            name, low, high = WORDS.unpack_from(data, body + 12 * index)
            number = low | high << 32
            if signed and high >> 31:
                number -= 1 << 64
        else:
            name, number = struct.unpack_from("<Ii" if signed else "<II", data, body + 8 * index)
        values.setdefault(number, text(name))
    return values


@dataclass(slots=True)
class KernelTypes:
    """The running kernel's BTF, searched instead of parsed: it has 100,000 types and only a few names are asked for.

    again: gives the same bytes once more after `forget`; without it they are kept.
    """

    data: bytes
    again: Callable[[], bytes] | None = None

    def forget(self) -> None:
        """Lets go of some 6 MiB until somebody asks."""
        if self.again is not None:
            self.data = b""

    def _bytes(self) -> bytes:
        """The caller keeps them for as long as it searches: another thread may forget."""
        data = self.data
        if not data and self.again is not None:
            data = self.data = self.again()
        return data

    def has_name(self, name: str) -> bool:
        data = self._bytes()
        return data.find(b"\0" + name.encode() + b"\0", sections(data)[2]) >= 0

    def has_tracepoint(self, name: str) -> bool:
        """Whether a BTF tracepoint (tp_btf) of that name can exist."""
        return self.has_name(f"btf_trace_{name}")

    def enum_values(self, name: str) -> dict[int, str]:
        """number -> C name of the kernel's enum; empty when it has none of that name."""
        data = self._bytes()
        start, length, strings = sections(data)
        found = data.find(b"\0" + name.encode() + b"\0", strings)
        if found < 0:
            return {}

        words = np.frombuffer(data, dtype="<u4", offset=start, count=length // 4)
        for index in np.flatnonzero(words[:-2] == found + 1 - strings):
            info = int(words[index + 1])
            kind = KINDS[(info >> 24) & 0x1F] if (info >> 24) & 0x1F < len(KINDS) else ""
            if kind in ("enum", "enum64") and info & 0xFFFF:  # without values it is only declared
                body = start + 4 * int(index) + WORDS.size
                wide, signed = kind == "enum64", bool(info >> 31)
                return read_enum(data, body, info & 0xFFFF, wide=wide, signed=signed, text=lambda at: text_at(data, strings + at))
        return {}

    def small_enums(self) -> dict[str, int]:
        """name -> bytes (1 or 2) of every enum that is smaller than an int. Walks all types: for compilers, not for the agent."""
        data = self._bytes()
        position, length, strings = sections(data)
        end = position + length
        found = {}
        with damage_reported():
            while position < end:
                name, info, size = WORDS.unpack_from(data, position)
                kind, elements = KINDS[(info >> 24) & 0x1F], info & 0xFFFF
                if kind == "enum" and name and elements and size in (1, 2):
                    found[text_at(data, strings + name)] = size
                once, each = TRAILER.get(kind, (0, 0))
                position += WORDS.size + once + each * elements
        return found
