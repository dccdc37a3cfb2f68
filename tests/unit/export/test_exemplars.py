"""Exemplars from a sampled request to both formats: only spans that an endpoint took, with the trace they ended up in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from otlp_receiver import Handler, accept, accept_without_spans, answer_with, http_receiver
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from request_rows import CLIENT, SECOND, SERVER, RequestRows

from collector.aggregate.aggregator import AggregateSettings, Aggregator
from collector.batch import Batch, BatchKind
from collector.catalog.probe_folder import read_manifest
from collector.decode.request import Outcome, Request
from collector.decode.routes import RouteTable
from collector.enrich.route_enricher import RouteEnricher
from collector.export.otlp_encoding import to_metrics_data
from collector.export.otlp_settings import OtlpSettings
from collector.export.otlp_streams import StreamGrouping
from collector.export.prometheus import render
from collector.export.resource import read_resources
from collector.export.span_exporter import SpanExporter
from collector.export.span_settings import SpanSettings
from collector.instruments import Exemplar, HistogramValue, Snapshot
from collector.workload import Workload, WorkloadKind

PROBES = Path(__file__).resolve().parents[3] / "probes"
RESOURCES = read_resources({}, "node-1", "abc", "0.1.0")
NOW = 1_700_000_000.25
TRACE = "0af7651916cd43dd8448eb211c80319c"


def name_workload(number: int) -> Workload:
    return Workload(number, WorkloadKind.UNIT, f"service{number}")


class Measured:
    """An aggregator and an exporter as the node wires them."""

    def __init__(self, handler: Callable[[Handler], None]) -> None:
        self.aggregator = Aggregator(AggregateSettings(), name_workload)
        self.aggregator.add_probe("socket_data", read_manifest(PROBES / "socket_data"), {})
        self._handler = handler

    def measure(self, *batches: Batch) -> list[bytes]:
        """Goes through and is exported to the end; ids of the spans that the endpoint got."""
        with http_receiver(self._handler) as receiver:
            settings = SpanSettings(OtlpSettings(f"{receiver.address}/v1/traces", timeout_seconds=1.0), delay_seconds=0.05)
            exporter = SpanExporter(settings, RESOURCES, name_workload, "", self.aggregator.confirm)
            exporter.start()
            for batch in batches:
                RouteEnricher(RouteTable()).enrich(batch)
                exporter.identify(batch)
                self.aggregator.add(batch, NOW)
                exporter.add(batch, 0)
            assert exporter.close(10.0)
        return [span.span_id for _, span in receiver.spans()]

    def snapshot(self) -> Snapshot:
        return Snapshot(NOW + 1, self.aggregator.snapshot())

    def exemplars(self) -> list[tuple[str, int, Exemplar]]:
        """(instrument, bucket, exemplar)."""
        found = []
        for one in self.aggregator.snapshot():
            for point in one.points:
                assert isinstance(point.value, HistogramValue)
                found += [(one.instrument.name, bucket, exemplar) for bucket, exemplar in point.value.exemplars.items()]
        return found


def batch_of(made: RequestRows, sampled: list[bool], trace_parent: str = "") -> Batch:
    rows = made.rows
    rows["sampled"] = sampled
    details = np.full(len(rows), None, object)
    for place in np.flatnonzero(sampled):
        details[place] = Request("http", "GET", "/", Outcome.OK, trace_parent=trace_parent)
    sides = {side: np.full(len(rows), number, np.int32) for number, side in enumerate(("local", "peer"), 3)}
    return Batch(made.schema, BatchKind.EVENTS, rows, {"details": details, **sides})


def three_requests() -> RequestRows:
    made = RequestRows()
    for number, milliseconds in enumerate((2, 30, 40)):
        made.add(SERVER, SECOND + number, milliseconds * 1_000_000, protocol="http", operation="GET", status="200", thread=0)
    return made


def test_only_the_sampled_requests_are_shown_and_each_in_its_bucket() -> None:
    measured = Measured(accept)
    (first, second) = measured.measure(batch_of(three_requests(), [True, False, True]))
    found = [(name, bucket, one.span_id, one.value, one.at) for name, bucket, one in measured.exemplars()]
    assert found == [
        ("http.server.request.duration", 0, first, 0.002, NOW),
        ("http.server.request.duration", 3, second, 0.04, NOW),
    ]


@pytest.mark.parametrize("handler", [answer_with(400), accept_without_spans(1, "full")], ids=["refused", "not all taken"])
def test_span_that_no_endpoint_took_is_never_pointed_at(handler: Callable[[Handler], None]) -> None:
    measured = Measured(handler)
    measured.measure(batch_of(three_requests(), [True, True, True]))
    assert measured.exemplars() == []


def test_trace_is_the_one_that_the_span_was_placed_in() -> None:
    """A call joins the trace of the request it was made for, which is known only later."""
    made = RequestRows()
    made.add(SERVER, SECOND, 9_000_000, protocol="http", operation="GET", thread=7)
    made.add(CLIENT, SECOND + 1_000_000, 3_000_000, protocol="http", operation="GET", thread=7)
    batch = batch_of(made, [True, True])
    batch.columns["details"][0] = Request("http", "GET", "/", Outcome.OK, trace_parent=f"00-{TRACE}-b7ad6b7169203331-01")
    measured = Measured(accept)
    assert len(measured.measure(batch)) == 2
    assert [one.trace_id.hex() for _, _, one in measured.exemplars()] == [TRACE, TRACE]


def test_both_formats_carry_them() -> None:
    measured = Measured(accept)
    (span,) = measured.measure(batch_of(three_requests(), [False, True, False]))
    pieces, _ = render(measured.snapshot(), "application/openmetrics-text", {})
    samples = [sample for family in text_string_to_metric_families(b"".join(pieces).decode()) for sample in family.samples]
    ((labels, shown),) = [(sample.labels, sample.exemplar) for sample in samples if sample.exemplar]
    assert labels["le"] == "0.05"
    assert (shown.labels["span_id"], float(shown.timestamp)) == (span.hex(), NOW)
    assert shown.value == pytest.approx(0.03)
    assert len(shown.labels["trace_id"]) == 32
    plain, _ = render(measured.snapshot(), "text/plain", {})
    assert span.hex() not in b"".join(plain).decode()
    (request,) = StreamGrouping(RESOURCES, "cumulative", exponential=False).requests(measured.snapshot(), 1000)
    encoded = encode_metrics(to_metrics_data(request, ""))
    points = [
        point
        for resource in encoded.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.histogram.data_points
    ]
    ((exemplar,),) = [point.exemplars for point in points if point.exemplars]
    assert (exemplar.span_id, exemplar.time_unix_nano) == (span, 1_700_000_000_250_000_000)


def test_series_that_went_meanwhile_takes_nothing() -> None:
    measured = Measured(accept)
    aggregator, batch = measured.aggregator, batch_of(three_requests(), [True, False, False])
    RouteEnricher(RouteTable()).enrich(batch)
    batch.columns["span_id"] = np.array([b"span", b"", b""], object)
    aggregator.add(batch, NOW)
    aggregator.remove_series_of(lambda number: NOW + 1)
    other = batch_of(three_requests(), [False] * 3)
    RouteEnricher(RouteTable()).enrich(other)
    aggregator.add(other, NOW + 2)  # a new series in the old one's place
    aggregator.confirm({b"span": b"trace"})
    assert measured.exemplars() == []
