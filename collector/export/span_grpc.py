"""Sends encoded spans over gRPC. Needs the extra `honeyguide[grpc]`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.export.otlp_grpc import is_insecure, outcome_of_call, read_credentials
from collector.export.otlp_outcome import Outcome
from collector.export.otlp_settings import OtlpSettings

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class GrpcSpanTransport:
    """One thread sends; another may abort, which cancels the call."""

    def __init__(self, settings: OtlpSettings) -> None:
        target = urlsplit(settings.endpoint).netloc.rpartition("@")[2] if "://" in settings.endpoint else settings.endpoint
        compression = grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
        if is_insecure(settings):
            self._channel = grpc.insecure_channel(target, compression=compression)
        else:
            credentials = read_credentials(settings) or grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(target, credentials, compression=compression)
        self._export = self._channel.unary_unary(
            METHOD, request_serializer=None, response_deserializer=ExportTraceServiceResponse.FromString
        )
        self._headers = tuple(settings.headers.items())
        self._timeout = settings.timeout_seconds
        self._aborted = False

    def send(self, data: bytes) -> Outcome:
        """data: an ExportTraceServiceRequest. Never longer than the time-out: it holds for the whole call."""
        if self._aborted:
            return Outcome("closing", "the agent ends")
        try:
            call = self._export.future(data, timeout=self._timeout, metadata=self._headers)
        except ValueError:  # the channel was closed this moment
            return Outcome("closing", "the agent ends")
        try:
            call.exception()  # waits for the end
        except grpc.FutureCancelledError:
            return Outcome("closing", "the agent ends")
        return outcome_of_call(call, rejected_spans)

    def abort(self) -> None:
        self._aborted = True
        self._channel.close()

    def close(self) -> None:
        self._channel.close()


def rejected_spans(answer: Any) -> tuple[int, str]:
    return answer.partial_success.rejected_spans, answer.partial_success.error_message
