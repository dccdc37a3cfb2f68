"""Names, attributes and status by protocol, and that nothing but what is known leaves the node."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import attributes
from request_rows import CLIENT, SECOND, SERVER, RequestRows

from collector.batch import Batch, BatchKind
from collector.decode.request import Outcome, Request
from collector.decode.request_details import request_details
from collector.export.span_content import address_text
from collector.export.span_identity import IdSource, identify
from collector.export.span_rows import RowReader

SECRET = "hunter2-s3cret"


def batch_of(made: RequestRows, details: Request, **columns: Any) -> Batch:
    rows = made.rows
    rows["sampled"] = 1
    described = np.empty(len(rows), object)
    described[:] = [details] * len(rows)
    return Batch(made.schema, BatchKind.EVENTS, rows, {"details": described, **columns})


def read_span(batch: Batch) -> Span:
    identify(batch, IdSource())
    (span,) = RowReader(batch, 0).spans()
    decoded: Span = Span.FromString(span.body)
    return decoded


def describe(role: int, probe: str = "socket_data", given: dict[str, Any] | None = None, **fields: Any) -> Span:
    details = Request("", "", "", Outcome.OK, attributes=given or {})
    ends = {"local_address": "10.0.0.1", "local_port": 4000, "remote_address": "fd00::2", "remote_port": 5432}
    return read_span(batch_of(RequestRows(probe).add(role, SECOND, **{**ends, **fields}), details))


@pytest.mark.parametrize(
    ("role", "fields", "name"),
    [
        (SERVER, {"protocol": "http", "operation": "GET", "resource": "/a/1"}, "GET"),
        (SERVER, {"protocol": "http", "operation": "_OTHER", "resource": "/a"}, "HTTP"),
        (CLIENT, {"protocol": "postgresql", "operation": "SELECT", "resource": "orders"}, "SELECT orders"),
        (CLIENT, {"protocol": "mysql", "operation": "COMMIT"}, "COMMIT"),
        (CLIENT, {"protocol": "mysql"}, "mysql"),
        (CLIENT, {"protocol": "redis", "operation": "HGETALL"}, "HGETALL"),
        (SERVER, {"protocol": "grpc", "operation": "POST", "resource": "shop.Cart/Add"}, "shop.Cart/Add"),
        (SERVER, {"protocol": "grpc"}, "grpc"),
        (CLIENT, {"protocol": "dns", "operation": "A", "resource": "example.org"}, "DNS A"),
        (SERVER, {}, "unknown"),
    ],
)
def test_name_follows_the_conventions_of_the_protocol(role: int, fields: dict[str, Any], name: str) -> None:
    span = describe(role, **fields)
    assert (span.name, span.kind) == (name, {SERVER: Span.SPAN_KIND_SERVER, CLIENT: Span.SPAN_KIND_CLIENT}[role])


def test_summary_of_a_query_is_its_name() -> None:
    given = {"db.query.summary": "SELECT a JOIN b", "db.namespace": "shop", "db.system.name": "mariadb"}
    span = describe(CLIENT, given=given, protocol="mysql", operation="SELECT", resource="a", status="1064", error_type="1064")
    found = attributes(span)
    assert (span.name, span.status.code) == ("SELECT a JOIN b", 2)
    assert found["db.system.name"] == "mariadb" and found["db.namespace"] == "shop"
    assert (found["db.operation.name"], found["db.collection.name"]) == ("SELECT", "a")
    assert (found["db.response.status_code"], found["error.type"]) == ("1064", "1064")
    assert (found["server.address"], found["server.port"], found["network.peer.address"]) == ("fd00::2", 5432, "fd00::2")
    assert "client.address" not in found


def test_call_over_http_has_the_full_address_without_what_is_default() -> None:
    fields: dict[str, Any] = {"protocol": "http", "operation": "POST", "resource": "/pay"}
    given: dict[str, Any] = {"server.address": "pay.example", "server.port": 443}
    assert attributes(describe(CLIENT, "tls_data", given, **fields))["url.full"] == "https://pay.example/pay"
    assert attributes(describe(CLIENT, **fields))["url.full"] == "http://[fd00::2]:5432/pay"
    assert "url.full" not in attributes(describe(SERVER, **fields))


def test_route_may_be_text_or_a_number_of_the_schema() -> None:
    made = RequestRows().add(SERVER, protocol="http", operation="GET", resource="/orders/7")
    details = Request("http", "", "", Outcome.OK)
    span = read_span(batch_of(made, details, route=np.array(["/orders/{id}"], object)))
    assert (span.name, attributes(span)["http.route"]) == ("GET /orders/{id}", "/orders/{id}")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"outcome": "ok"}, ""),
        ({"outcome": "unknown"}, ""),
        ({"outcome": "error", "error_type": "500"}, "500"),
        ({"outcome": "error"}, "_OTHER"),
        ({"outcome": "unanswered"}, "unanswered"),
        ({"outcome": "ok", "error_type": "404"}, "404"),
    ],
)
def test_status_is_an_error_where_the_conventions_say_so(fields: dict[str, Any], error: str) -> None:
    span = describe(CLIENT, protocol="http", operation="GET", **fields)
    assert (span.status.code, attributes(span).get("error.type", "")) == (2 if error else 0, error)


def test_unix_socket_has_no_addresses() -> None:
    span = describe(CLIENT, protocol="redis", operation="GET", transport=1, local_address="::", remote_address="::")
    assert attributes(span)["network.transport"] == "unix"
    assert not {name for name in attributes(span) if name.endswith(".address")}


@pytest.mark.parametrize(("packed", "text"), [(bytes(16), ""), (bytes(10) + b"\xff\xff\0\0\0\0", ""), (bytes(15) + b"\1", "::1")])
def test_address_of_nothing_is_left_out(packed: bytes, text: str) -> None:
    assert address_text(packed) == text


@given(st.dictionaries(st.text(), st.text().map(lambda text: text + SECRET), max_size=4), st.integers(0, 8), st.integers(0, 3))
def test_attributes_that_nobody_knows_stay_here(given_attributes: dict[str, str], protocol: int, role: int) -> None:
    details = Request("", "", "", Outcome.OK, trace_parent=SECRET, attributes=given_attributes)
    batch = batch_of(RequestRows().add(role, protocol=protocol), details)
    identify(batch, IdSource())
    reader = RowReader(batch, 0)
    (span,) = reader.spans()
    assert SECRET.encode() not in span.body
    assert reader.unknown == len(given_attributes)


@given(
    method=st.sampled_from([b"GET", b"POST", b"CONNECT", b"PROPFIND"]),
    path=st.sampled_from([b"/a", b"http://u:%s@host/a" % SECRET.encode(), b"/a;jsessionid=%s" % SECRET.encode(), b"*"]),
    header=st.sampled_from([b"Authorization", b"Cookie", b"X-Api-Key", b"traceparent", b"Host", b"tracestate"]),
    text=st.binary(max_size=20),
    cut=st.integers(0, 400),
)
def test_secrets_of_a_request_reach_no_span(method: bytes, path: bytes, header: bytes, text: bytes, cut: int) -> None:
    secret = SECRET.encode()
    line = b"%s %s?token=%s HTTP/1.1\r\n" % (method, path, secret)
    value = b"user:" + secret + b"@h" if header == b"Host" else secret + text
    head = line + b"%s: %s\r\n\r\nbody=%s" % (header, value, secret)
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: " + secret + b"\r\n\r\n" + secret
    made = RequestRows().add(CLIENT, protocol="http", operation="GET", resource="/a", status="200")
    details = request_details(head[:cut], answer, made.rows[0], made.texts)
    batch = batch_of(made, details)
    identify(batch, IdSource())
    (span,) = RowReader(batch, 0).spans()
    assert secret not in span.body
    Span.FromString(span.body)


@example("", "", "", 2**64 - 1, 2**64 - 1)
@given(st.text(), st.text(), st.text(), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_any_texts_and_times_can_be_encoded(operation: str, resource: str, status: str, start: int, duration: int) -> None:
    made = RequestRows().add(CLIENT, protocol="http", operation=operation, resource=resource, status=status)
    batch = batch_of(made, Request("", "", "", Outcome.OK, attributes={"url.path": resource}))
    batch.rows["observed_at"], batch.rows["duration"] = start, duration
    identify(batch, IdSource())
    for span in RowReader(batch, 2**62).spans():
        Span.FromString(span.body)
