"""Attribute values as text that both protocols take. Names come from processes, paths and packets: any bytes are possible."""

from __future__ import annotations

from collector.instruments import AttributeValue


def valid_text(text: str) -> str:
    """`text` with what UTF-8 cannot carry (lone surrogates) as '?'."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def label_text(value: AttributeValue) -> str:
    """How a value looks as a Prometheus label."""
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def protobuf_value(value: AttributeValue) -> AttributeValue:
    """The same value, or its text where protobuf would refuse it: OTLP integers have 64 bits with a sign."""
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value
