"""As much of protocol buffers as questions to a container runtime need (k8s.io/cri-api, runtime.v1): field numbers to values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pack_message(fields: Mapping[int, Any]) -> bytes:
    """Values are numbers, text, messages of the same form, or lists of these."""
    return b"".join(
        pack_field(number, one) for number, value in fields.items() for one in (value if isinstance(value, list) else [value])
    )


def pack_field(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return pack_number(number << 3) + pack_number(value)
    content = value.encode() if isinstance(value, str) else pack_message(value)
    return pack_number(number << 3 | 2) + pack_number(len(content)) + content


def pack_number(number: int) -> bytes:
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])


def read_first_text(message: bytes) -> str:
    """Its first field, shorter than 128 bytes."""
    return message[2 : 2 + message[1]].decode() if message else ""
