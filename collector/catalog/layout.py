"""The C struct is the one truth: from BTF to a NumPy dtype and the meaning of every field."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from collector.batch import Column, Field, Rows, Schema
from collector.catalog.btf import Btf, KernelTypes, Member
from collector.catalog.damage import damage_reported
from collector.errors import ManifestError

TRANSPARENT = ("volatile", "const", "restrict", "type_tag")
PLAIN_TYPEDEFS = frozenset(
    f"{prefix}{sign}{bits}" for prefix in ("", "__") for sign in ("u", "s") for bits in (8, 16, 32, 64)
)  # fmt: skip
OPAQUE_TYPEDEFS = ("ip_address",)
ADDITIVE = ("", "byte_count", "duration_ns", "duration_us")


@dataclass(frozen=True, slots=True)
class Variable:
    """A global variable of a probe: its section (.rodata before loading, .bss or .data while it runs) and place in it."""

    name: str
    section: str
    offset: int
    size: int
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class MapLayout:
    """How one row is made of a map's key and value. added: fields that are summed over CPUs; of the others the largest counts."""

    key: np.dtype[np.void]
    value: np.dtype[np.void]
    added: frozenset[str]

    @property
    def key_fields(self) -> tuple[str, ...]:
        return self.key.names or ()

    def join(self, keys: Column, values: Column, dtype: np.dtype[np.void]) -> Rows:
        """keys: uint8 (n, key size), values: uint8 (n, CPUs, value size rounded up to 8) -> n rows of `dtype`."""
        rows = np.zeros(len(keys), dtype)
        key_rows = np.ascontiguousarray(keys).view(self.key).reshape(len(keys))
        exact = np.ascontiguousarray(values[:, :, : self.value.itemsize])
        value_rows = exact.view(self.value).reshape(values.shape[:2])
        for name in dtype.names or ():
            if name in (self.key.names or ()):
                rows[name] = key_rows[name]
            elif values.shape[1] == 1:
                rows[name] = value_rows[name][:, 0]
            elif name in self.added:
                rows[name] = value_rows[name].sum(axis=1)
            else:
                rows[name] = value_rows[name].max(axis=1)
        return rows


class StructReader:
    """Reads layouts of one compiled probe; `kernel` supplies the names of the running kernel's own enums."""

    def __init__(self, btf: Btf, kernel: KernelTypes | None) -> None:
        self._btf = btf
        self._kernel = kernel

    def schema(self, probe: str, record: str, *, struct: str | None = None) -> Schema:
        """Layout of C struct `struct` (default: called as the record); ManifestError when it cannot be read or exported."""
        dtype, fields = self._struct(probe, struct or record)
        return Schema(probe, record, dtype, fields)

    def joined_schema(self, probe: str, record: str, table: str = "") -> tuple[Schema, MapLayout]:
        """One row out of a map's key (struct <record>_key) and value (struct <record>_value).

        Of a bcc table that is called `table`, unless there are both structs: out of what it declares; a plain number is called
        key or value.
        Padding fields (named pad...) are left out; a name in both structs is an error.
        """
        structs = (f"{record}_key", f"{record}_value")
        described = self._btf.find("struct", f"____btf_map_{table}")
        if described is None or all(self._btf.find("struct", name) for name in structs):
            parts = [self._struct(probe, name) for name in structs]
        else:
            parts = [self._part(probe, member) for member in self._btf.members(described)]
        formats: dict[str, object] = {}
        fields: list[Field] = []
        for dtype, part in parts:
            for entry in part:
                if entry.name in formats:
                    raise ManifestError(f"{probe}: field {entry.name} is both in struct {structs[0]} and {structs[1]}.")
                formats[entry.name] = dtype[entry.name]
                fields.append(entry)
        added = frozenset(entry.name for entry in fields if entry.meaning in ADDITIVE)
        layout = MapLayout(parts[0][0], parts[1][0], added)
        return Schema(probe, record, np.dtype(list(formats.items())), tuple(fields)), layout

    def variables(self, offsets: Mapping[str, int]) -> tuple[Variable, ...]:
        """All global variables that hold numbers; `offsets` come from the symbol table."""
        found = []
        with damage_reported():
            for section in (".rodata", ".data", ".bss"):
                for member in self._btf.section_members(section):
                    try:
                        code, _, _ = self._format(member.type_id)
                    except ManifestError:
                        continue  # a pointer or a nested struct: nothing to set from outside
                    whole = np.dtype([("value", code)])
                    found.append(Variable(member.name, section, offsets.get(member.name, 0), whole.itemsize, whole["value"].base))
        return tuple(found)

    def maps(self) -> frozenset[str]:
        """Names of the kernel maps that the object declares."""
        with damage_reported():
            return frozenset(member.name for member in self._btf.section_members(".maps"))

    def functions(self) -> frozenset[str]:
        return frozenset(name for kind, name in self._btf.by_name if kind == "func")

    def enum(self, name: str) -> dict[int, str]:
        """number -> short name of an enum that the probe declares (or the kernel has); empty when unknown."""
        type_id = self._btf.find("enum", name) or self._btf.find("enum64", name)
        with damage_reported():
            own = {} if type_id is None else self._btf.enum_values(type_id)
        running = self._kernel.enum_values(name) if self._kernel else {}
        same_enum = not own or not set(own.values()).isdisjoint(running.values())
        return shorten_names(name, running if running and same_enum else own)

    def _part(self, probe: str, member: Member) -> tuple[np.dtype[np.void], tuple[Field, ...]]:
        """Key or value of a bcc table: a struct's fields, or one field with the member's name."""
        type_id, _ = self._resolve(member.type_id)
        if self._btf.types[type_id].kind == "struct":
            return self._struct(probe, self._btf.types[type_id].name)
        code, entry = self._field(f"{probe}: the {member.name}", member)
        return np.dtype([(member.name, code)]), (entry,)

    def _struct(self, probe: str, name: str) -> tuple[np.dtype[np.void], tuple[Field, ...]]:
        type_id = self._btf.find("struct", name)
        if type_id is None:
            raise ManifestError(f"{probe}: the compiled probe has no struct {name}.", "Check `struct` in probe.toml.")
        columns: dict[str, tuple[object, int]] = {}
        fields = []
        with damage_reported():
            for member in self._btf.members(type_id):
                if not member.name.startswith("pad"):
                    code, entry = self._field(f"{probe}: field {member.name} of struct {name}", member)
                    columns[member.name] = (code, member.byte_offset)
                    fields.append(entry)
            formats, offsets = [code for code, _ in columns.values()], [offset for _, offset in columns.values()]
            layout = {"names": list(columns), "formats": formats, "offsets": offsets}
            size = self._btf.types[type_id].size_or_type
            return np.dtype({**layout, "itemsize": size}), tuple(fields)  # type: ignore[call-overload]

    def _field(self, place: str, member: Member) -> tuple[object, Field]:
        """(NumPy format, what it means); ManifestError names `place` when it is nothing that can be exported."""
        try:
            if member.bits:
                raise ManifestError("is a bit field; give it whole bytes.")
            code, meaning, labels = self._format(member.type_id)
        except ManifestError as error:
            raise ManifestError(f"{place} {error.cause}", error.remedy) from None
        return code, Field(member.name, meaning, labels)

    def _format(self, type_id: int) -> tuple[object, str, dict[int, str]]:
        """(NumPy format, meaning, names) of a member's type."""
        type_id, meaning = self._resolve(type_id)
        entry = self._btf.types[type_id]
        if entry.kind in ("enum", "enum64"):
            return f"<{'i' if entry.flag else 'u'}{entry.size_or_type}", entry.name, self.enum(entry.name)
        return self._plain_format(type_id, meaning), meaning, {}

    def _resolve(self, type_id: int) -> tuple[int, str]:
        """(type behind all typedefs and qualifiers, name of the first typedef that says something)."""
        meaning = ""
        for _ in self._btf.types:  # a damaged chain may be a ring
            entry = self._btf.types[type_id]
            if entry.kind == "typedef":
                if not meaning and entry.name not in PLAIN_TYPEDEFS:
                    meaning = entry.name
            elif entry.kind not in TRANSPARENT:
                return type_id, meaning
            type_id = entry.size_or_type
        raise ManifestError("is a typedef of itself.")

    def _plain_format(self, type_id: int, meaning: str) -> object:
        entry = self._btf.types[type_id]
        if meaning in OPAQUE_TYPEDEFS:
            return f"V{entry.size_or_type}"
        if entry.kind == "int" and entry.size_or_type in (1, 2, 4, 8):
            if entry.name in ("_Bool", "bool"):
                return "?"
            return f"<{'i' if self._btf.is_signed(type_id) else 'u'}{entry.size_or_type}"
        if entry.kind == "array":
            return self._array_format(type_id)
        raise ManifestError(
            f"is a {entry.kind} ({entry.name}); only numbers of up to 8 bytes, enums, addresses and arrays can be exported."
        )

    def _array_format(self, type_id: int) -> object:
        element, count = self._btf.array(type_id)
        inner = self._btf.types[element]
        if inner.kind == "int" and inner.name == "char":
            return f"S{count}"
        code, _, _ = self._format(element)
        if isinstance(code, tuple):  # NumPy would nest the shapes, so that the numbers in the middle are out of reach
            return (code[0], (count, *code[1]))
        return (code, (count,))


def shorten_names(enum: str, values: dict[int, str]) -> dict[int, str]:
    """FLOW_ROLE_CLIENT of enum flow_role -> client; names without that prefix lose what all of them share."""
    shared = os.path.commonprefix(list(values.values()))  # noqa: RUF071 -- names, not paths
    shared = shared[: shared.rfind("_") + 1]
    prefix = enum.upper() + "_"
    return {number: name.removeprefix(prefix if name.startswith(prefix) else shared).lower() for number, name in values.items()}
