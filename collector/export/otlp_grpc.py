"""OTLP over gRPC with the SDK's exporter. The only file that needs the extra `honeyguide[grpc]`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from collector.export.otlp_outcome import Outcome, outcome_of_answer
from collector.export.otlp_settings import OtlpSettings

REASONS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "timeout",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "throttled",
    grpc.StatusCode.UNAVAILABLE: "connection",
    grpc.StatusCode.CANCELLED: "closing",
    grpc.StatusCode.UNAUTHENTICATED: "unauthorized",
    grpc.StatusCode.PERMISSION_DENIED: "unauthorized",
    grpc.StatusCode.INVALID_ARGUMENT: "rejected",
    grpc.StatusCode.UNIMPLEMENTED: "rejected",
    grpc.StatusCode.NOT_FOUND: "rejected",
    grpc.StatusCode.FAILED_PRECONDITION: "rejected",
}


class GrpcTransport:
    """One thread sends; another may abort, which cancels the call."""

    def __init__(self, settings: OtlpSettings) -> None:
        self.outcome = Outcome()
        self._exporter = _WatchedExporter(
            self._note,
            endpoint=settings.endpoint,
            insecure=is_insecure(settings),
            credentials=read_credentials(settings),
            headers=dict(settings.headers),
            timeout=settings.timeout_seconds,
            compression=grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression,
        )

    def send(self, data: MetricsData) -> Outcome:
        """Never longer than the time-out: it holds for the whole call."""
        self.outcome = Outcome("encoding", "the request could not be encoded")
        result = self._exporter.export(data)
        if result is MetricExportResult.SUCCESS or not self.outcome.delivered:
            return self.outcome
        return Outcome("failed", "the exporter gave up")

    def abort(self) -> None:
        self._exporter.shutdown()

    def close(self) -> None:
        self._exporter.shutdown()

    def _note(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _WatchedExporter(OTLPMetricExporter):
    """Tells what became of each call; the SDK's exporter only tells that it failed."""

    def __init__(self, note: Callable[[Outcome], None], **named: Any) -> None:
        self._note = note
        super().__init__(**named)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
        watched = grpc.intercept_channel(self._channel, _Watcher(self._note))
        self._client: Any = MetricsServiceStub(watched)  # type: ignore[no-untyped-call]


class _Watcher(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    def __init__(self, note: Callable[[Outcome], None]) -> None:
        self._note = note

    def intercept_unary_unary(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        call = continuation(details, request)
        self._note(outcome_of_call(call, rejected_points))
        return call


def rejected_points(answer: Any) -> tuple[int, str]:
    return answer.partial_success.rejected_data_points, answer.partial_success.error_message


def outcome_of_call(call: Any, rejected: Callable[[Any], tuple[int, str]]) -> Outcome:
    """Of a finished call. rejected: what an answer says about what it did not take, and why."""
    code = call.code()
    if code is grpc.StatusCode.OK:
        return outcome_of_answer(*rejected(call.result()))
    details = call.details() or ""
    reason = "refused" if "Connection refused" in details else REASONS.get(code, "server_error")
    return Outcome(reason, f"{code.name} {details}".strip())


def is_insecure(settings: OtlpSettings) -> bool:
    """Whether the endpoint is spoken to without TLS."""
    if "://" in settings.endpoint:
        return settings.endpoint.startswith("http://")
    return bool(settings.insecure)


def read_credentials(settings: OtlpSettings) -> grpc.ChannelCredentials | None:
    """None: those of the system."""
    if not settings.certificate:
        return None
    paths = (settings.certificate, settings.client_key, settings.client_certificate)
    return grpc.ssl_channel_credentials(*(Path(path).read_bytes() if path else None for path in paths))
