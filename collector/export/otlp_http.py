"""OTLP over HTTP with the SDK's exporter and a watched session.

The SDK gives its time-out to every read of the socket and reads whatever is answered, so an endpoint that sends one byte now and
then, or without end, would hold the thread or fill the memory; it takes redirects for success and tells no reason of a failure.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from collector.export.otlp_outcome import Outcome, outcome_of_answer
from collector.export.otlp_settings import OtlpSettings
from collector.export.watched_session import SLACK_SECONDS, WatchedSession

COMPRESSIONS = {"none": Compression.NoCompression, "gzip": Compression.Gzip, "deflate": Compression.Deflate}


class HttpTransport:
    """One thread sends; another may abort, which ends a send at once."""

    def __init__(self, settings: OtlpSettings) -> None:
        self._session = WatchedSession(read_metrics_answer)
        self._longest_seconds = settings.timeout_seconds + SLACK_SECONDS
        self._exporter = OTLPMetricExporter(
            endpoint=settings.endpoint,
            certificate_file=settings.certificate or None,
            client_key_file=settings.client_key or None,
            client_certificate_file=settings.client_certificate or None,
            headers=settings.headers,
            timeout=settings.timeout_seconds,
            compression=COMPRESSIONS[settings.compression],
            session=self._session,
        )

    def send(self, data: MetricsData) -> Outcome:
        """Never longer than the time-out and a little, never an exception for what the endpoint does."""
        self._session.outcome = Outcome("encoding", "the request could not be encoded")
        with self._session.limited(self._longest_seconds):
            result = self._exporter.export(data)
        if result is MetricExportResult.SUCCESS or not self._session.outcome.delivered:
            return self._session.outcome
        return Outcome("failed", "the exporter gave up")

    def abort(self) -> None:
        self._session.cut("closing", "the agent ends", for_good=True)
        self._exporter.shutdown()

    def close(self) -> None:
        self._exporter.shutdown()


def read_metrics_answer(answer: bytes) -> Outcome:
    try:
        partial = ExportMetricsServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return Outcome()
    return outcome_of_answer(partial.rejected_data_points, partial.error_message)
