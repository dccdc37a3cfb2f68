"""Which rows of a batch a metric wants, and what its labels are called. Pure."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Mapping, Sequence

import numpy as np

from collector.batch import Batch, Column, Schema
from collector.catalog.manifest import Condition
from collector.errors import ManifestError
from collector.instruments import AttributeValue


def select_rows(batch: Batch, where: Mapping[str, Condition], known: Sequence[str]) -> Column:
    """Boolean mask, shape (n,): all conditions hold and all `known` columns are non-zero."""
    wanted = np.ones(len(batch), bool)
    for name, condition in where.items():
        if isinstance(condition, bool):
            wanted &= batch[name].astype(bool) == condition
        else:
            wanted &= np.isin(batch[name], accepted_values(batch.schema, name, condition))
    for name in known:
        wanted &= batch[name] != 0
    return wanted


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
