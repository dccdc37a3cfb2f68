"""Requests as the SDK's data classes. Imported only when something is exported: the SDK takes 8 MiB."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import cast

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from collector.export.otlp_streams import Request, Run, Stream
from collector.export.resource import wire_values
from collector.instruments import HistogramValue, InstrumentKind

SCHEMA_URL = "https://opentelemetry.io/schemas/1.40.0"
NOT_KNOWN = cast(float, None)  # protobuf leaves such a field out


def to_metrics_data(request: Request, scope_version: str) -> MetricsData:
    """Each resource once: the SDK's encoder drops all but the last of equal ones."""
    scope = InstrumentationScope("honeyguide", scope_version, SCHEMA_URL)
    by_resource = itertools.groupby(request.runs, key=lambda run: id(run.resource))
    groups = [list(group) for _, group in by_resource]
    return MetricsData([_resource_metrics(runs[0].resource, runs, request.taken_at, scope) for runs in groups])


def _resource_metrics(
    resource: Mapping[str, str], runs: list[Run], taken_at: float, scope: InstrumentationScope
) -> ResourceMetrics:
    metrics = [_metric(run, nanoseconds(taken_at)) for run in runs]
    return ResourceMetrics(Resource(wire_values(resource), SCHEMA_URL), [ScopeMetrics(scope, metrics, SCHEMA_URL)], SCHEMA_URL)


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000) * 1000  # a float of unix seconds is good for microseconds


def _metric(run: Run, taken_at: int) -> Metric:
    instrument = run.instrument
    return Metric(instrument.name, instrument.help, instrument.unit, _data(run, taken_at))


def _data(run: Run, taken_at: int) -> Sum | Gauge | Histogram | ExponentialHistogram:
    temporality = AggregationTemporality.DELTA if run.delta else AggregationTemporality.CUMULATIVE
    if run.instrument.kind is InstrumentKind.HISTOGRAM:
        if run.exponential:
            return ExponentialHistogram([_exponential_point(stream, taken_at) for stream in run.streams], temporality)
        bounds = [float(bound) for bound in run.instrument.buckets]
        return Histogram([_histogram_point(stream, taken_at, bounds) for stream in run.streams], temporality)
    points = list(_number_points(run.streams, taken_at))
    if run.instrument.kind is InstrumentKind.GAUGE:
        return Gauge(points)
    return Sum(points, temporality, is_monotonic=run.instrument.kind is InstrumentKind.COUNTER)


def _number_points(streams: list[Stream], taken_at: int) -> Iterator[NumberDataPoint]:
    for stream in streams:
        assert not isinstance(stream.value, HistogramValue)
        yield NumberDataPoint(stream.attributes, nanoseconds(stream.started_at), taken_at, float(stream.value))


def _histogram_point(stream: Stream, taken_at: int, bounds: list[float]) -> HistogramDataPoint:
    assert isinstance(stream.value, HistogramValue)
    counts = [int(count) for count in stream.value.counts]
    return HistogramDataPoint(
        attributes=stream.attributes,
        start_time_unix_nano=nanoseconds(stream.started_at),
        time_unix_nano=taken_at,
        count=sum(counts),
        sum=float(stream.value.sum),
        bucket_counts=counts,
        explicit_bounds=bounds,
        min=NOT_KNOWN,
        max=NOT_KNOWN,
        exemplars=_exemplars(stream.value),
    )


def _exemplars(value: HistogramValue) -> list[Exemplar]:
    return [
        Exemplar({}, one.value, nanoseconds(one.at), int.from_bytes(one.span_id), int.from_bytes(one.trace_id))
        for one in value.exemplars.values()
    ]


def _exponential_point(stream: Stream, taken_at: int) -> ExponentialHistogramDataPoint:
    assert isinstance(stream.value, HistogramValue)
    assert stream.value.exponential is not None
    buckets = stream.value.exponential
    offset, counts = _without_empty_ends(buckets.offset, [int(count) for count in buckets.counts])
    return ExponentialHistogramDataPoint(
        attributes=stream.attributes,
        start_time_unix_nano=nanoseconds(stream.started_at),
        time_unix_nano=taken_at,
        count=int(buckets.zero_count) + sum(counts),
        sum=float(stream.value.sum),
        scale=int(buckets.scale),
        zero_count=int(buckets.zero_count),
        positive=Buckets(offset, counts),
        negative=Buckets(0, []),
        flags=0,
        min=NOT_KNOWN,
        max=NOT_KNOWN,
        exemplars=_exemplars(stream.value),
    )


def _without_empty_ends(offset: int, counts: list[int]) -> tuple[int, list[int]]:
    filled = [index for index, count in enumerate(counts) if count]
    if not filled:
        return 0, []
    return int(offset) + filled[0], counts[filled[0] : filled[-1] + 1]
