"""Posts encoded spans over HTTP through the same watched session as metrics. The SDK's own exporter takes only its own spans."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.export.otlp_outcome import Outcome, outcome_of_answer
from collector.export.otlp_settings import OtlpSettings
from collector.export.watched_session import WatchedSession

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {"none": bytes, "gzip": gzip.compress, "deflate": zlib.compress}


class HttpSpanTransport:
    """One thread sends; another may abort, which ends a send at once."""

    def __init__(self, settings: OtlpSettings) -> None:
        self._settings = settings
        self._compress = COMPRESSORS[settings.compression]
        self._session = WatchedSession(read_spans_answer)
        self._session.headers.update({"Content-Type": "application/x-protobuf", "User-Agent": "OTel-OTLP-Exporter-Honeyguide"})
        if settings.compression != "none":
            self._session.headers["Content-Encoding"] = settings.compression
        self._session.headers.update(settings.headers)
        self._session.verify = settings.certificate or True
        if settings.client_certificate:
            pair = (settings.client_certificate, settings.client_key)
            self._session.cert = pair if settings.client_key else settings.client_certificate

    def send(self, data: bytes) -> Outcome:
        """data: an ExportTraceServiceRequest. Never longer than the time-out and a little, never an exception."""
        return self._session.deliver(self._settings.endpoint, self._compress(data), self._settings.timeout_seconds)

    def abort(self) -> None:
        self._session.cut("closing", "the agent ends", for_good=True)

    def close(self) -> None:
        self._session.close()


def read_spans_answer(answer: bytes) -> Outcome:
    try:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return Outcome()
    return outcome_of_answer(partial.rejected_spans, partial.error_message)
