"""Which rows of a batch a metric wants, and what its labels are called. Pure."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Mapping, Sequence

import numpy as np

from collector.batch import Batch, Column, Schema
from collector.catalog.manifest import AtLeast, Condition
from collector.errors import ManifestError
from collector.instruments import AttributeValue

# What a column must be: one of these values, at least that, True or False, or None for anything but zero.
Wanted = bool | tuple[int | str | bytes, ...] | AtLeast | None
Test = tuple[str, Wanted]
WHOLE_NUMBERS = frozenset(("http.response.status_code",))  # attributes that are numbers though a protocol's words hold them
FEW = 8  # values that are faster compared one by one than with isin


def compile_tests(schema: Schema, where: Mapping[str, Condition], known: Sequence[str]) -> tuple[Test, ...]:
    """What is asked of each row; ManifestError when an enum has no such name."""
    tests: list[Test] = [
        (name, condition if isinstance(condition, bool | AtLeast) else tuple(accepted_values(schema, name, condition)))
        for name, condition in where.items()
    ]
    return (*tests, *((name, None) for name in known))


def passing(column: Column, wanted: Wanted) -> Column:
    """Boolean mask, shape (n,): rows that are not zero (None), true or false as wanted, large enough, or one of the values."""
    if wanted is None or wanted is True:
        return np.asarray(column != 0, bool)
    if wanted is False:
        return np.asarray(column == 0, bool)
    if isinstance(wanted, AtLeast):
        return np.asarray(column >= wanted.least, bool)
    if len(wanted) > FEW:
        return np.isin(column, wanted)
    mask = column == wanted[0]
    for value in wanted[1:]:
        mask = mask | (column == value)
    return np.asarray(mask, bool)


def accepted_values(schema: Schema, name: str, condition: Sequence[str | int]) -> list[int | str | bytes]:
    """Enum names as their numbers, text as the column holds it; ManifestError when the enum has no such name."""
    entry = next((field for field in schema.fields if field.name == name), None)
    if entry is not None and schema.dtype[name].kind == "S":
        return [value.encode() if isinstance(value, str) else value for value in condition]
    numbers = {text: number for number, text in entry.names.items()} if entry else {}
    accepted: list[int | str | bytes] = []
    for value in condition:
        if isinstance(value, str) and numbers and value not in numbers:
            raise ManifestError(f"{schema.probe}: {name} is never {value!r}; it is one of {', '.join(numbers)}.")
        accepted.append(numbers[value] if isinstance(value, str) and numbers else value)
    return accepted


def attribute_value(attribute: str, batch: Batch, column: str, row: int) -> AttributeValue:
    """What that row's column says under the name `attribute`; '' when it says nothing, and then the attribute is left out."""
    value = label_value(batch.schema, column, batch[column][row])
    if attribute in WHOLE_NUMBERS and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value


def label_value(schema: Schema, name: str, value: object) -> AttributeValue:
    """One value of column `name` as people write it."""
    try:
        entry = schema.field(name)
    except KeyError:
        return plain_value(value)
    if entry.names:
        number = int(value)  # type: ignore[call-overload]
        return entry.names.get(number, f"unknown:{number}")
    if entry.meaning == "ip_address":
        return address_text(bytes(value))  # type: ignore[call-overload]
    if entry.meaning == "error_number":
        return errno.errorcode.get(int(value), str(value)) if value else ""  # type: ignore[call-overload]
    if entry.meaning == "service_port" and not value:
        return ""
    return plain_value(value)


def plain_value(value: object) -> AttributeValue:
    if isinstance(value, bytes):
        return value.partition(b"\0")[0].decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return value.item()  # type: ignore[no-any-return]
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def address_text(octets: bytes) -> str:
    """RFC 5952 text; IPv4 out of its mapped form."""
    address = ipaddress.IPv6Address(octets)
    return str(address.ipv4_mapped or address)
