import math

from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import attributes

from collector.export.span_wire import LONGEST_VALUE, VARYING, encode_attribute, encode_links, encode_request, varint
from collector.instruments import AttributeValue

values = st.one_of(st.text(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False))


def as_sent(value: AttributeValue) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()[:LONGEST_VALUE]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


@example({"http.request.body.size": 2**63 - 1, "client.port": 0, "network.peer.port": 127, "\ud800": "\ud800"})
@given(st.dictionaries(st.one_of(st.sampled_from(sorted(VARYING)), st.text(st.characters(codec="utf-8"))), values, max_size=5))
def test_parts_put_together_are_the_message(given_attributes: dict[str, AttributeValue]) -> None:
    given_attributes.pop("\ud800", None)
    head: bytes = Span(name="GET").SerializeToString()
    parts = [encode_attribute(name, value) for name, value in given_attributes.items()]
    span = Span.FromString(encode_links(b"t" * 16, b"s" * 8, b"", 1) + head + b"".join(parts))
    assert (span.name, span.trace_id, span.span_id, span.parent_span_id, span.flags) == ("GET", b"t" * 16, b"s" * 8, b"", 1)
    assert attributes(span) == {name: as_sent(value) for name, value in given_attributes.items()}


def test_equal_values_of_other_kinds_are_not_mixed_up() -> None:
    spans = [Span.FromString(encode_attribute("a", value)) for value in (1, True, 1.0)]
    assert [span.attributes[0].value.WhichOneof("value") for span in spans] == ["int_value", "bool_value", "double_value"]


@given(st.integers(0, 2**64 - 1))
def test_varint_is_seven_bits_a_byte(number: int) -> None:
    encoded = varint(number)
    assert len(encoded) == max(math.ceil(number.bit_length() / 7), 1)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded)) == number


def test_request_holds_each_resource_with_its_spans() -> None:
    span: bytes = Span(name="x" * 300).SerializeToString()
    request = ExportTraceServiceRequest.FromString(encode_request([({"service.name": "a"}, [span, span]), ({}, [span])], "0.1.0"))
    assert [len(one.scope_spans[0].spans) for one in request.resource_spans] == [2, 1]
    assert attributes(request.resource_spans[0].resource) == {"service.name": "a"}
    assert request.resource_spans[0].schema_url == request.resource_spans[0].scope_spans[0].schema_url != ""
