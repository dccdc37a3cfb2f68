"""A real OTLP endpoint for tests, over HTTP and gRPC, that can misbehave. Decoded with opentelemetry-proto."""

from __future__ import annotations

import gzip
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from patience import PATIENCE_SECONDS

DECODERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}
StreamName = tuple[str, str, frozenset[tuple[str, object]]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: HttpReceiver

    def do_POST(self) -> None:
        self.receiver.behave(self)

    def take(self) -> None:
        """Reads the request and remembers it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        decoded = DECODERS[self.headers.get("Content-Encoding", "")](body)
        if self.path.endswith("/v1/traces"):
            self.receiver.traces.append(ExportTraceServiceRequest.FromString(decoded))
        else:
            self.receiver.received.append(ExportMetricsServiceRequest.FromString(decoded))
        self.receiver.headers.append(dict(self.headers))
        self.receiver.paths.append(self.path)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@dataclass
class Received:
    """received: requests with metrics. traces: those with spans."""

    received: list[ExportMetricsServiceRequest] = field(default_factory=list)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def spans(self) -> Iterator[tuple[dict[str, object], Any]]:
        """(attributes of the resource, span) in the order of arrival."""
        for request in self.traces:
            for resource in request.resource_spans:
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    yield attributes(resource.resource), span

    def streams(self, first: int = 0) -> dict[StreamName, Any]:
        """(service.name, metric, attributes) -> the last data point, of the requests from number `first` on."""
        return {name: point for name, _, point in self.points(first)}

    def points(self, first: int = 0) -> Iterator[tuple[StreamName, Any, Any]]:
        """(name, metric, data point) in the order of arrival."""
        for request in self.received[first:]:
            for resource in request.resource_metrics:
                service = attributes(resource.resource)["service.name"]
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        yield (str(service), metric.name, frozenset(attributes(point).items())), metric, point


def attributes(message: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in message.attributes}


def accept(handler: Handler) -> None:
    handler.take()
    handler.answer(200)


@dataclass
class HttpReceiver(Received):
    """behave: what is done with each request."""

    behave: Callable[[Handler], None] = field(default=accept)
    paths: list[str] = field(default_factory=list)
    address: str = ""
    released: threading.Event = field(default_factory=threading.Event)


def answer_with(status: int, **headers: str) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        handler.take()
        handler.answer(status, b"no", **headers)

    return behave


def accept_without(points: int, message: str) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        handler.take()
        answer = ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = points
        answer.partial_success.error_message = message
        handler.answer(200, answer.SerializeToString())

    return behave


def accept_without_spans(spans: int, message: str) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        handler.take()
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = spans
        answer.partial_success.error_message = message
        handler.answer(200, answer.SerializeToString())

    return behave


def hang(handler: Handler) -> None:
    """Takes the request and never answers."""
    handler.take()
    handler.receiver.released.wait(60)
    handler.close_connection = True


def close_midway(handler: Handler) -> None:
    handler.rfile.read(10)
    handler.close_connection = True


def answer_drop_by_drop(handler: Handler) -> None:
    """A status line that never ends, one byte at a time."""
    handler.take()
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _write_until_gone(handler, b"x", 0.05)


def answer_without_end(handler: Handler) -> None:
    handler.take()
    handler.send_response(200)
    handler.end_headers()
    _write_until_gone(handler, b"x" * 65536, 0)


def _write_until_gone(handler: Handler, piece: bytes, pause: float) -> None:
    handler.close_connection = True
    try:
        while not handler.receiver.released.wait(pause):
            handler.wfile.write(piece)
    except OSError:
        return


@contextmanager
def http_receiver(behave: Callable[[Handler], None] = accept, tls: tuple[Path, Path] | None = None) -> Iterator[HttpReceiver]:
    """tls: files with the certificate and its key."""
    receiver = HttpReceiver(behave=behave)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"receiver": receiver}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class GrpcReceiver(Received):
    """behave: raises or answers; gets the request and the grpc context."""

    behave: Callable[[Any, Any], ExportMetricsServiceResponse] = field(default=lambda *_: ExportMetricsServiceResponse())
    behave_with_spans: Callable[[Any, Any], ExportTraceServiceResponse] = field(default=lambda *_: ExportTraceServiceResponse())
    address: str = ""
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def grpc_receiver(tls: tuple[Path, Path] | None = None) -> Iterator[GrpcReceiver]:
    """tls: files with the certificate and its key."""
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415 -- an extra
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc  # noqa: PLC0415

    receiver = GrpcReceiver()

    class Service(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportMetricsServiceResponse:  # noqa: N802 -- gRPC's name
            receiver.received.append(request)
            receiver.headers.append(dict(context.invocation_metadata()))
            return receiver.behave(request, context)

    class TraceService(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 -- gRPC's name
            receiver.traces.append(request)
            receiver.headers.append(dict(context.invocation_metadata()))
            return receiver.behave_with_spans(request, context)

    server = grpc.server(futures.ThreadPoolExecutor(4))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(TraceService(), server)  # type: ignore[no-untyped-call]
    if tls:
        credentials = grpc.ssl_server_credentials([(tls[1].read_bytes(), tls[0].read_bytes())])
        receiver.address = f"https://127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    else:
        receiver.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.stop(0).wait()


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """AssertionError when it has not become true by then."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
