"""Sizes and lengths of time as people write them, read from text and written back."""

from __future__ import annotations

import re

_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_DIGITS, _LARGEST = 20, 1e20  # beyond, numbers do not fit into others
_BYTES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 1000**2, "gb": 1000**3}
_SECONDS = {"": 1.0, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _read(value: object, units: dict[str, float] | dict[str, int], example: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return value
    match = _NUMBER_AND_UNIT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in units or len(match[1]) > _DIGITS:
        raise ValueError(f"write a number or a number with a unit such as {example}")
    return float(match[1]) * units[match[2].lower()]


def read_bytes(value: object) -> int:
    """Bytes from a number or text such as '1MiB'; ValueError for anything else."""
    return int(_read(value, _BYTES, "1MiB"))


def read_seconds(value: object) -> float:
    """Seconds from a number or text such as '250ms' or '5m'; ValueError for anything else."""
    return float(_read(value, _SECONDS, "5s"))


def show_bytes(count: int) -> str:
    """'1 MiB' for 1048576; the largest binary unit that leaves a whole number."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def show_seconds(seconds: float) -> str:
    """'250 ms' for 0.25, '5 s' for 5.0, '5 min' for 300.0."""
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g} min"
    return f"{seconds:g} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:g} ms"
