import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from otlp_receiver import (
    Handler,
    HttpReceiver,
    accept,
    accept_without_spans,
    answer_drop_by_drop,
    answer_with,
    answer_without_end,
    attributes,
    close_midway,
    grpc_receiver,
    hang,
    http_receiver,
    wait_for,
)
from request_rows import CLIENT, SECOND, SERVER, RequestRows

from collector.batch import Batch, BatchKind
from collector.decode.request import Outcome, Request
from collector.export import span_exporter
from collector.export.otlp_settings import GRPC, OtlpSettings
from collector.export.resource import read_resources
from collector.export.span_exporter import SpanExporter, SpanStatus
from collector.export.span_settings import SpanSettings
from collector.workload import Workload, WorkloadKind

RESOURCES = read_resources({}, "node-1", "abc", "0.1.0")
OFFSET = 1_700_000_000 * SECOND
WORKLOADS = {
    0: Workload(0, WorkloadKind.UNKNOWN, ""),
    5: Workload(5, WorkloadKind.POD, "shop", "prod", "uid-1", "c0ffee"),
    6: Workload(6, WorkloadKind.UNIT, "postgresql"),
}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACE_PARENT = f"00-{TRACE}-{PARENT}-01"


def details(trace_parent: str = "", **given: Any) -> Request:
    return Request("http", "", "", Outcome.OK, trace_parent=trace_parent, attributes=given)


def batch_of(made: RequestRows, described: list[Request | None] | None = None, local: int = 5, peer: int = 6) -> Batch:
    rows = made.rows
    found = described if described is not None else [details()] * len(rows)
    rows["sampled"] = [one is not None for one in found]
    column = np.empty(len(rows), object)
    column[:] = found
    columns = {"details": column, "local": np.full(len(rows), local, np.int32), "peer": np.full(len(rows), peer, np.int32)}
    return Batch(made.schema, BatchKind.EVENTS, rows, columns)


def requests(count: int) -> RequestRows:
    made = RequestRows()
    for number in range(count):
        made.add(start=SECOND + number * 2000, protocol="http", operation="GET", thread=0)
    return made


def settings_for(address: str, **changes: Any) -> SpanSettings:
    path = "" if changes.get("protocol") == GRPC else "/v1/traces"
    own = {name: changes.pop(name) for name in ("delay_seconds", "batch_spans", "queue_spans", "queue_bytes") if name in changes}
    otlp = replace(OtlpSettings(f"{address}{path}", timeout_seconds=1.0), **changes)
    return replace(SpanSettings(otlp, delay_seconds=0.05), **own)


@contextmanager
def exporting(settings: SpanSettings) -> Iterator[SpanExporter]:
    exporter = SpanExporter(settings, RESOURCES, WORKLOADS.__getitem__, "0.1.0")
    exporter.start()
    try:
        yield exporter
    finally:
        assert exporter.close(10.0)


def exported(*batches: Batch) -> HttpReceiver:
    """What an endpoint gets when these are added and the exporter is closed."""
    with http_receiver() as receiver, exporting(settings_for(receiver.address)) as exporter:
        for batch in batches:
            exporter.add(batch, OFFSET)
    return receiver


def one_span(receiver: Any) -> tuple[dict[str, object], Any]:
    ((resource, span),) = receiver.spans()
    return resource, span


SHOP_REQUEST = {
    "protocol": "http", "operation": "GET", "resource": "/orders/7", "status": "200", "process": 77, "thread": 78,
    "local_address": "10.0.0.5", "local_port": 8080, "remote_address": "10.0.0.9", "remote_port": 40000,
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["http/protobuf", GRPC])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_span_arrives_whole_with_its_resource(protocol: str, compression: str) -> None:
    made = RequestRows().add(SERVER, 5 * SECOND, 3000, request_body_bytes=12, **SHOP_REQUEST)
    batch = batch_of(made, [details(TRACE_PARENT, **{"server.address": "shop.example", "network.protocol.version": "1.1"})])
    batch.columns["route"] = np.array(["/orders/{id}"], object)
    with grpc_receiver() if protocol == GRPC else http_receiver() as receiver:
        settings = settings_for(receiver.address, protocol=protocol, compression=compression, headers={"api-key": "s3cret"})
        with exporting(settings) as exporter:
            exporter.add(batch, OFFSET)
            wait_for(lambda: exporter.status().exported)
    resource, span = one_span(receiver)
    assert receiver.headers[0]["api-key"] == "s3cret"
    assert resource["service.name"] == "shop" and resource["k8s.pod.uid"] == "uid-1" and resource["container.id"] == "c0ffee"
    assert (resource["host.name"], resource["service.namespace"]) == ("node-1", "prod")
    scope = receiver.traces[0].resource_spans[0].scope_spans[0]
    assert (scope.scope.name, scope.scope.version, scope.schema_url != "") == ("honeyguide", "0.1.0", True)
    assert (span.name, span.kind, span.status.code) == ("GET /orders/{id}", 2, 0)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (OFFSET + 5 * SECOND, OFFSET + 5 * SECOND + 3000)
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.flags) == (TRACE, PARENT, 0x301)
    assert len(span.span_id) == 8 and any(span.span_id)
    assert attributes(span) == {
        "http.request.method": "GET", "url.path": "/orders/7", "url.scheme": "http", "http.response.status_code": 200,
        "http.route": "/orders/{id}", "http.request.body.size": 12, "server.address": "shop.example", "server.port": 8080,
        "client.address": "10.0.0.9", "client.port": 40000, "network.peer.address": "10.0.0.9", "network.peer.port": 40000,
        "network.transport": "tcp", "network.protocol.name": "http", "network.protocol.version": "1.1", "process.pid": 77,
        "thread.id": 78, "service.peer.name": "postgresql", "honeyguide.link.method": "traceparent",
    }  # fmt: skip


def test_rows_that_are_not_sampled_become_no_spans() -> None:
    receiver = exported(batch_of(requests(3), [None, details(), None]))
    assert len(list(receiver.spans())) == 1


def test_each_workload_is_one_resource() -> None:
    receiver = exported(batch_of(requests(3)), batch_of(requests(2), local=6), batch_of(requests(1)))
    found = [
        (attributes(one.resource)["service.name"], len(one.scope_spans[0].spans)) for one in receiver.traces[0].resource_spans
    ]
    assert sorted(found) == [("postgresql", 2), ("shop", 4)]


def test_ids_are_random_and_those_given_for_exemplars_are_kept() -> None:
    batch = batch_of(requests(200))
    with http_receiver() as receiver, exporting(settings_for(receiver.address)) as exporter:
        exporter.identify(batch)
        exporter.add(batch, OFFSET)
        wait_for(lambda: exporter.status().exported)
    spans = [span for _, span in receiver.spans()]
    assert len({span.span_id for span in spans}) == len({span.trace_id for span in spans}) == 200
    assert {span.span_id for span in spans} == set(batch.columns["span_id"])
    assert {span.trace_id for span in spans} == set(batch.columns["trace_id"])
    assert not any(span.parent_span_id for span in spans)


def server_and_calls(*calls: RequestRows) -> list[Batch]:
    """Calls come first, as they do on a real node."""
    return [*(batch_of(one) for one in calls), batch_of(RequestRows().add(SERVER, SECOND + 1000, 5000, flow=1, thread=9))]


def links(receiver: HttpReceiver) -> list[tuple[int, str, bool]]:
    """(kind, method, whether it is in the trace of the server's span and below it) of each span."""
    spans = [span for _, span in receiver.spans()]
    server = next(span for span in spans if span.kind == 2)
    below = [span.trace_id == server.trace_id and span.parent_span_id == server.span_id for span in spans]
    return [(span.kind, str(attributes(span)["honeyguide.link.method"]), one) for span, one in zip(spans, below, strict=True)]


def test_call_on_the_thread_of_a_server_request_is_its_child() -> None:
    receiver = exported(*server_and_calls(RequestRows().add(CLIENT, SECOND + 2000, 100, flow=2, thread=9)))
    assert sorted(links(receiver)) == [(2, "none", False), (3, "thread", True)]
    assert next(span for _, span in receiver.spans() if span.kind == 3).flags == 0x101


def test_call_waits_for_the_request_that_it_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_exporter, "CAUSE_SECONDS", 0.5)
    call, server = server_and_calls(RequestRows().add(CLIENT, SECOND + 2000, 100, flow=2, thread=9))
    with http_receiver() as receiver, exporting(settings_for(receiver.address)) as exporter:
        exporter.add(call, OFFSET)
        exporter.add(server, OFFSET)
        wait_for(lambda: exporter.status().exported == 1)
        assert exporter.status().queued == 1
        wait_for(lambda: exporter.status().exported == 2)
        assert exporter.status().links == {"none": 1, "thread": 1}
    assert [kind for kind, _, _ in links(receiver)] == [2, 3]


@pytest.mark.parametrize("fields", [{"thread": 8}, {"process": 11}, {"start": SECOND + 999}, {"start": SECOND + 6000}])
def test_call_elsewhere_or_at_another_time_is_linked_to_nothing(fields: dict[str, int]) -> None:
    call = {"start": SECOND + 2000, "duration": 100, "thread": 9, "flow": 2, **fields}
    assert sorted(links(exported(*server_and_calls(RequestRows().add(CLIENT, **call))))) == [
        (2, "none", False),
        (3, "none", False),
    ]


def test_nothing_is_linked_on_a_thread_that_serves_two_requests_at_once() -> None:
    other = batch_of(RequestRows().add(SERVER, SECOND + 3000, 100, flow=7, thread=9), [None])
    call = RequestRows().add(CLIENT, SECOND + 2000, 100, flow=2, thread=9)
    receiver = exported(*server_and_calls(call), other)
    assert sorted(links(receiver)) == [(2, "none", False), (3, "none", False)]


def test_call_is_not_linked_to_a_server_request_that_is_no_span() -> None:
    server = batch_of(RequestRows().add(SERVER, SECOND + 1000, 5000, thread=9), [None])
    receiver = exported(batch_of(RequestRows().add(CLIENT, SECOND + 2000, 100, thread=9)), server)
    _, span = one_span(receiver)
    assert (span.parent_span_id, attributes(span)["honeyguide.link.method"]) == (b"", "none")


def test_traceparent_of_a_call_is_closer_than_its_thread_unless_it_was_only_passed_on() -> None:
    own = f"00-{TRACE}-00000000000000aa-01"
    calls = RequestRows().add(CLIENT, SECOND + 2000, 10, flow=2, thread=9).add(CLIENT, SECOND + 3000, 10, flow=3, thread=9)
    server = RequestRows().add(SERVER, SECOND + 1000, 5000, flow=1, thread=9)
    receiver = exported(batch_of(calls, [details(own), details(TRACE_PARENT)]), batch_of(server, [details(TRACE_PARENT)]))
    assert sorted(links(receiver)) == [(2, "traceparent", False), (3, "thread", True), (3, "traceparent", False)]
    assert {span.trace_id.hex() for _, span in receiver.spans()} == {TRACE}


@pytest.mark.parametrize(
    "value", ["00-" + "0" * 32 + f"-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", "junk", f"00-{TRACE}-{PARENT}-0"]
)
def test_traceparent_that_is_not_valid_is_ignored(value: str) -> None:
    _, span = one_span(exported(batch_of(requests(1), [details(value)])))
    assert (span.parent_span_id, span.trace_id.hex() != TRACE) == (b"", True)


def run_once(behave: Callable[[Handler], None], count: int = 3, **changes: Any) -> tuple[HttpReceiver, SpanStatus, float]:
    """What is left after spans were added and the exporter was closed within three seconds."""
    with http_receiver(behave) as receiver:
        exporter = SpanExporter(settings_for(receiver.address, **changes), RESOURCES, WORKLOADS.__getitem__)
        exporter.start()
        exporter.add(batch_of(requests(count)), OFFSET)
        started = time.monotonic()
        assert exporter.close(3.0)
        return receiver, exporter.status(), time.monotonic() - started


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        pytest.param(answer_with(400), "rejected", id="bad request"),
        pytest.param(answer_with(404), "rejected", id="no such path"),
        pytest.param(answer_with(401), "unauthorized", id="unauthorized"),
        pytest.param(answer_with(302, Location="/elsewhere"), "rejected", id="redirect"),
        pytest.param(answer_with(503, Retry_After="3600"), "throttled", id="throttled for an hour"),
        pytest.param(hang, "timeout", id="hangs"),
        pytest.param(close_midway, "connection", id="closes midway"),
        pytest.param(answer_drop_by_drop, "timeout", id="answers drop by drop"),
    ],
)
def test_spans_that_an_endpoint_does_not_take_are_counted_at_the_end(behave: Callable[[Handler], None], reason: str) -> None:
    _, status, seconds = run_once(behave)
    assert (status.state, status.exported, status.discarded) == ("closed", 0, {reason: 3})
    assert seconds < 30  # neither the hour nor the minute that the endpoint would take


def test_answer_without_end_is_read_only_so_far() -> None:
    _, status, _ = run_once(answer_without_end)
    assert status.exported + sum(status.discarded.values()) == 3


def test_spans_that_an_endpoint_refuses_in_part_are_counted() -> None:
    _, status, _ = run_once(accept_without_spans(2, "too old"))
    assert (status.exported, status.discarded, status.last_error) == (1, {"rejected": 2}, "2 spans were not accepted: too old")


def test_endpoint_that_hangs_does_not_hold_the_end_up() -> None:
    _, status, seconds = run_once(hang, timeout_seconds=60.0)
    assert (sum(status.discarded.values()), seconds < 30) == (3, True)


@pytest.mark.parametrize("protocol", ["http/protobuf", GRPC])
def test_dead_endpoint_costs_a_bounded_queue_and_every_span_is_counted(protocol: str) -> None:
    settings = settings_for("http://127.0.0.1:9", protocol=protocol, queue_spans=50, batch_spans=10)
    with exporting(settings) as exporter:
        for _ in range(10):
            exporter.add(batch_of(requests(20)), OFFSET)
        wait_for(lambda: exporter.status().state == "failing")
        status = exporter.status()
        assert status.queued <= 50 and status.discarded["queue_full"] >= 200 - 50 - 10
    discarded = exporter.status().discarded
    assert (sum(discarded.values()), set(discarded) <= {"queue_full", "refused", "connection", "closing"}) == (200, True)


def test_queue_is_bounded_in_bytes_too() -> None:
    with exporting(settings_for("http://127.0.0.1:9", queue_bytes=10_000, delay_seconds=60.0)) as exporter:
        exporter.add(batch_of(requests(200)), OFFSET)
        status = exporter.status()
    assert status.queued_bytes <= 10_000
    assert status.queued + status.discarded["queue_full"] == 200


def test_spans_wait_out_an_outage_and_are_sent_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(span_exporter, "FIRST_PAUSE_SECONDS", 0.05)
    caplog.set_level(logging.INFO)
    with http_receiver(answer_with(503)) as receiver, exporting(settings_for(receiver.address)) as exporter:
        exporter.add(batch_of(requests(2)), OFFSET)
        wait_for(lambda: exporter.status().state == "failing")
        receiver.behave = accept
        wait_for(lambda: exporter.status().exported == 2)
        assert exporter.status().discarded == {}
    lines = [record.getMessage() for record in caplog.records if record.name == "collector.export.span_exporter"]
    assert ["fails" in lines[0], "works again" in lines[1], len(lines)] == [True, True, 2]


def test_full_batch_is_sent_before_its_time() -> None:
    with http_receiver() as receiver, exporting(settings_for(receiver.address, delay_seconds=60.0, batch_spans=10)) as exporter:
        exporter.add(batch_of(requests(25)), OFFSET)
        wait_for(lambda: exporter.status().exported == 25)
    assert [sum(len(one.scope_spans[0].spans) for one in request.resource_spans) for request in receiver.traces] == [10, 10, 5]


def test_grpc_endpoint_that_never_answers_is_left_in_time() -> None:
    with grpc_receiver() as receiver:
        receiver.behave_with_spans = lambda *_: receiver.released.wait(60)  # type: ignore[assignment]
        exporter = SpanExporter(
            settings_for(receiver.address, protocol=GRPC, timeout_seconds=60.0), RESOURCES, WORKLOADS.__getitem__
        )
        exporter.start()
        exporter.add(batch_of(requests(3)), OFFSET)
        wait_for(lambda: receiver.traces)
        assert exporter.close(2.0)
        receiver.released.set()
    assert exporter.status().discarded == {"closing": 3}


def test_sampled_row_that_nobody_described_is_counted() -> None:
    batch = batch_of(requests(2))
    batch.columns["details"][0] = None
    with http_receiver() as receiver, exporting(settings_for(receiver.address)) as exporter:
        exporter.add(batch, OFFSET)
    assert (exporter.status().exported, exporter.status().discarded) == (1, {"no_details": 1})
