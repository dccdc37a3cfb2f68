"""BTF written by hand, for what the compiler at hand does not write: cycles, enum64, signed enums."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from collector.catalog.btf import HEADER, KINDS, MAGIC


@dataclass
class BtfWriter:
    """add() returns the id of the new type; ids start at 1."""

    types: list[bytes] = field(default_factory=list)
    strings: bytes = b"\0"

    def text(self, name: str) -> int:
        """Its offset; each string is there once, as libbpf and pahole write it."""
        wanted = b"\0" + name.encode() + b"\0" if name else b""
        if wanted not in self.strings:
            self.strings += wanted[1:]
        return self.strings.index(wanted) + bool(name)

    def add(self, kind: str, name: str, size_or_type: int, body: bytes = b"", elements: int = 0, *, flag: bool = False) -> int:
        info = elements | KINDS.index(kind) << 24 | int(flag) << 31
        self.types.append(struct.pack("<III", self.text(name), info, size_or_type) + body)
        return len(self.types)

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        return self.add("int", name, size, struct.pack("<I", size * 8 | int(signed) << 24))

    def array(self, element: int, count: int) -> int:
        return self.add("array", "", 0, struct.pack("<III", element, element, count))

    def enum(self, name: str, values: dict[str, int], *, signed: bool = False, size: int = 4) -> int:
        body = b"".join(struct.pack("<Ii" if signed else "<II", self.text(one), value) for one, value in values.items())
        return self.add("enum", name, size, body, len(values), flag=signed)

    def enum64(self, name: str, values: dict[str, int], *, signed: bool = False) -> int:
        body = b"".join(struct.pack("<Iq" if signed else "<IQ", self.text(one), value) for one, value in values.items())
        return self.add("enum64", name, 8, body, len(values), flag=signed)

    def struct(self, name: str, size: int, members: dict[str, tuple[int, int]]) -> int:
        """members: name -> (type, offset in bytes)."""
        body = b"".join(struct.pack("<III", self.text(one), kind, 8 * offset) for one, (kind, offset) in members.items())
        return self.add("struct", name, size, body, len(members))

    def written(self, order: str = "<") -> bytes:
        types = b"".join(self.types)
        header = struct.Struct(order + HEADER.format[1:])
        return header.pack(MAGIC, 1, 0, HEADER.size, 0, len(types), len(types), len(self.strings)) + types + self.strings
