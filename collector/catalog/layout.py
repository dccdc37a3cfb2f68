"""The C struct is the one truth: from BTF to a NumPy dtype and the meaning of every field."""

from __future__ import annotations

import os

import numpy as np

from collector.batch import Field, Schema
from collector.catalog.btf import Btf, KernelTypes
from collector.errors import ManifestError

TRANSPARENT = ("volatile", "const", "restrict", "type_tag")
PLAIN_TYPEDEFS = frozenset(
    f"{prefix}{sign}{bits}" for prefix in ("", "__") for sign in ("u", "s") for bits in (8, 16, 32, 64)
)  # fmt: skip
OPAQUE_TYPEDEFS = ("ip_address",)


class StructReader:
    """Reads layouts of one compiled probe; `kernel` supplies the names of the running kernel's own enums."""

    def __init__(self, btf: Btf, kernel: KernelTypes | None) -> None:
        self._btf = btf
        self._kernel = kernel

    def schema(self, probe: str, record: str, *, struct: str | None = None) -> Schema:
        """Layout of C struct `struct` (default: called as the record); ManifestError when the object has none of that name."""
        dtype, fields = self._struct(probe, struct or record)
        return Schema(probe, record, dtype, fields)

    def joined_schema(self, probe: str, record: str, structs: tuple[str, str]) -> Schema:
        """One row out of a map's key and value: both structs' fields, packed one after the other.

        Padding fields (named pad...) are left out; a name in both structs is an error.
        """
        parts = [self._struct(probe, name) for name in structs]
        formats: dict[str, object] = {}
        fields: list[Field] = []
        for dtype, part in parts:
            for entry in part:
                if entry.name in formats:
                    raise ManifestError(f"{probe}: field {entry.name} is both in struct {structs[0]} and {structs[1]}.")
                formats[entry.name] = dtype[entry.name]
                fields.append(entry)
        return Schema(probe, record, np.dtype(list(formats.items())), tuple(fields))

    def enum(self, name: str) -> dict[int, str]:
        """number -> short name of an enum that the probe declares (or the kernel has); empty when unknown."""
        type_id = self._btf.find("enum", name)
        own = {} if type_id is None else self._btf.enum_values(type_id)
        running = self._kernel.enum_values(name) if self._kernel else {}
        same_enum = not own or not set(own.values()).isdisjoint(running.values())
        return shorten_names(name, running if running and same_enum else own)

    def _struct(self, probe: str, name: str) -> tuple[np.dtype[np.void], tuple[Field, ...]]:
        type_id = self._btf.find("struct", name)
        if type_id is None:
            raise ManifestError(f"{probe}: the compiled probe has no struct {name}.", "Check `struct` in probe.toml.")
        names, formats, offsets, fields = [], [], [], []
        for member in self._btf.members(type_id):
            if member.name.startswith("pad"):
                continue
            code, meaning, labels = self._format(member.type_id)
            names.append(member.name)
            formats.append(code)
            offsets.append(member.byte_offset)
            fields.append(Field(member.name, meaning, labels))
        layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": self._btf.types[type_id].size_or_type}
        return np.dtype(layout), tuple(fields)  # type: ignore[call-overload]

    def _format(self, type_id: int) -> tuple[object, str, dict[int, str]]:
        """(NumPy format, meaning, names) of a member's type."""
        meaning = ""
        while True:
            entry = self._btf.types[type_id]
            if entry.kind == "typedef":
                if not meaning and entry.name not in PLAIN_TYPEDEFS:
                    meaning = entry.name
            elif entry.kind not in TRANSPARENT:
                break
            type_id = entry.size_or_type
        if entry.kind in ("enum", "enum64"):
            return f"<{'i' if entry.flag else 'u'}{entry.size_or_type}", entry.name, self.enum(entry.name)
        return self._plain_format(type_id, meaning), meaning, {}

    def _plain_format(self, type_id: int, meaning: str) -> object:
        entry = self._btf.types[type_id]
        if meaning in OPAQUE_TYPEDEFS:
            return f"V{entry.size_or_type}"
        if entry.kind == "int":
            if entry.name in ("_Bool", "bool"):
                return "?"
            return f"<{'i' if self._btf.is_signed(type_id) else 'u'}{entry.size_or_type}"
        if entry.kind == "array":
            return self._array_format(type_id)
        raise ManifestError(
            f"A record field is a {entry.kind} ({entry.name}); only numbers, enums, addresses and arrays can be exported."
        )

    def _array_format(self, type_id: int) -> object:
        element, count = self._btf.array(type_id)
        inner = self._btf.types[element]
        if inner.kind == "int" and inner.name == "char":
            return f"S{count}"
        code, _, _ = self._format(element)
        return (code, (count,))


def shorten_names(enum: str, values: dict[int, str]) -> dict[int, str]:
    """FLOW_ROLE_CLIENT of enum flow_role -> client; names without that prefix lose what all of them share."""
    shared = os.path.commonprefix(list(values.values()))  # noqa: RUF071 -- names, not paths
    shared = shared[: shared.rfind("_") + 1]
    prefix = enum.upper() + "_"
    return {number: name.removeprefix(prefix if name.startswith(prefix) else shared).lower() for number, name in values.items()}
