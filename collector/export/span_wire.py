"""Spans as protobuf, part by part: encoded parts may be put one behind the other (Protocol Buffers, "Encoding").

Each part is made by opentelemetry-proto's messages; attributes that come again are encoded once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.export.attribute_text import protobuf_value
from collector.export.resource import wire_values
from collector.instruments import AttributeValue

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
LONGEST_VALUE = 4096
# Field numbers of opentelemetry/proto/trace/v1/trace.proto.
RESOURCE_SPANS = RESOURCE = SCOPE = 1
SCOPE_SPANS = SPANS = 2
SCHEMA = 3
ATTRIBUTES = 9
START_TAG, END_TAG = 7 << 3 | 1, 8 << 3 | 1
TIMES = struct.Struct("<BQBQ")
VARYING = frozenset(("client.port", "network.peer.port", "http.request.body.size", "http.response.body.size"))


def delimited(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def encode_attribute(name: str, value: AttributeValue) -> bytes:
    """One of Span.attributes."""
    if name in VARYING and type(value) is int and 0 <= value < 1 << 63:
        return encode_number(name, value)
    return _encode_value(name, value)


@lru_cache(maxsize=8192, typed=True)
def _encode_value(name: str, value: AttributeValue) -> bytes:
    """Most come again and again."""
    return delimited(ATTRIBUTES, key_value(name, value).SerializeToString())


def encode_number(name: str, value: int) -> bytes:
    """An attribute of 0 to 2**63 - 1 that is rarely the same again: without a message, in half the time."""
    number = varint(value)
    content = b"%b\x12%c\x18%b" % (_encode_key(name), len(number) + 1, number)
    return delimited(ATTRIBUTES, content)


@lru_cache(maxsize=256)
def _encode_key(name: str) -> bytes:
    return KeyValue(key=name).SerializeToString()  # type: ignore[no-any-return]


def encode_attributes(attributes: Mapping[str, AttributeValue]) -> bytes:
    return b"".join([encode_attribute(name, value) for name, value in attributes.items()])


def key_value(name: str, value: AttributeValue) -> KeyValue:
    value = protobuf_value(value)
    if isinstance(value, str):
        return KeyValue(key=name, value=AnyValue(string_value=value[:LONGEST_VALUE]))
    if isinstance(value, bool):
        return KeyValue(key=name, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=name, value=AnyValue(int_value=value))
    return KeyValue(key=name, value=AnyValue(double_value=value))


def encode_times(start: int, end: int) -> bytes:
    """Span.start_time_unix_nano and end_time_unix_nano, fixed64."""
    return TIMES.pack(START_TAG, start, END_TAG, end)


def resource_value(name: str, value: str | list[str]) -> KeyValue:
    """One of Resource.attributes."""
    if isinstance(value, str):
        return key_value(name, value)
    values = [key_value(name, one).value for one in value]
    return KeyValue(key=name, value=AnyValue(array_value=ArrayValue(values=values)))


def encode_links(trace_id: bytes, span_id: bytes, parent_id: bytes, flags: int) -> bytes:
    """The part of a Span that says where in a trace it is."""
    encoded: bytes = Span(trace_id=trace_id, span_id=span_id, parent_span_id=parent_id, flags=flags).SerializeToString()
    return encoded


def encode_request(groups: Iterable[tuple[Mapping[str, str], Iterable[bytes]]], version: str) -> bytes:
    """An ExportTraceServiceRequest. groups: the attributes of a resource and its encoded spans; each resource once."""
    scope = delimited(SCOPE, InstrumentationScope(name="honeyguide", version=version).SerializeToString())
    schema = delimited(SCHEMA, SCHEMA_URL.encode())
    parts = []
    for attributes, spans in groups:
        values = [resource_value(name, value) for name, value in wire_values(attributes).items()]
        resource = Resource(attributes=values).SerializeToString()
        content = b"".join([scope, *[delimited(SPANS, span) for span in spans], schema])
        parts.append(delimited(RESOURCE_SPANS, delimited(RESOURCE, resource) + delimited(SCOPE_SPANS, content) + schema))
    return b"".join(parts)
