"""Pushes the spans of sampled requests to an OTLP endpoint from a thread of its own.

A dead or slow endpoint costs a bounded queue; what does not fit, or is refused, or was tried too often, is counted by reason.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from collector.batch import Batch
from collector.errors import SettingsError
from collector.export.otlp import LONGEST_PAUSE_SECONDS, NOISY_LOGGERS, Transport
from collector.export.otlp_outcome import Outcome, presentable
from collector.export.otlp_settings import GRPC, OtlpSettings
from collector.export.resource import Resources
from collector.export.span_identity import IdSource, identify
from collector.export.span_queue import SpanQueue
from collector.export.span_rows import PendingSpan, RowReader, SpanKinds
from collector.export.span_settings import SpanSettings
from collector.export.span_trace import TracePlaces, is_call
from collector.export.span_wire import encode_attribute, encode_attributes, encode_links, encode_request
from collector.workload import Workload

log = logging.getLogger(__name__)

CAUSE_SECONDS = 5.0  # how long a call waits for the request that it was made for to end and be known
RETRYABLE = frozenset({"connection", "refused", "server_error", "throttled", "timeout", "unresolved"})
TRIES = 5
FIRST_PAUSE_SECONDS = 1.0
REJECTED_HINT = "; OTEL_TRACES_EXPORTER=none if it takes no traces"


@dataclass(frozen=True, slots=True)
class SpanStatus:
    """state: waiting (nothing sent yet), exporting, failing or closed. Counts since the start.

    discarded: spans by reason. links: sent spans by how their parent was found: traceparent, thread, none.
    unknown_attributes: what parsers gave and nobody knows, so that it was left out. last_error: one line without secrets.
    """

    endpoint: str
    protocol: str
    state: str = "waiting"
    exported: int = 0
    discarded: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[str, int] = field(default_factory=dict)
    unknown_attributes: int = 0
    queued: int = 0
    queued_bytes: int = 0
    last_error: str = ""


class SpanExporter:
    """workload: names behind a number, asked from the exporter's thread when a span leaves; it takes the locks it needs.

    delivered: told of spans that were exported (span id -> trace id), from the same thread.
    """

    def __init__(
        self,
        settings: SpanSettings,
        resources: Resources,
        workload: Callable[[int], Workload],
        version: str = "",
        delivered: Callable[[Mapping[bytes, bytes]], None] | None = None,
    ) -> None:
        self._settings, self._resources, self._workload, self._version = settings, resources, workload, version
        self._delivered = delivered
        self._lock = threading.Lock()  # of everything up to the thread
        self._ids = IdSource()
        self._places = TracePlaces()
        self._kinds = SpanKinds()
        self._queue = SpanQueue(settings.queue_spans, settings.queue_bytes)
        self._discarded: Counter[str] = Counter()
        self._links: Counter[str] = Counter()
        self._exported = self._unknown = 0
        self._state, self._last_error = "waiting", ""
        self._transport: Transport | None = None
        self._thread: threading.Thread | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._aborted = False

    def start(self) -> None:
        """SettingsError when the protocol's packages are missing or its files are unusable."""
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._transport = open_span_transport(self._settings.otlp)
        self._thread = threading.Thread(target=self._run, name="otlp-spans", daemon=True)
        self._thread.start()

    def identify(self, batch: Batch) -> None:
        """Adds trace_id and span_id of sampled rows (bytes, else b''); exemplars may use them. `add` does it else."""
        with self._lock:
            identify(batch, self._ids)

    def add(self, batch: Batch, wall_offset_ns: int) -> None:
        """Every batch of `request`, all rows of it: those that are not sampled show what ran at the same time.

        Columns: details (object: Request or None), local and peer; route if there is one. Not after `close`.
        """
        if not len(batch):
            return
        now = time.monotonic()
        with self._lock:
            self._places.observe(batch.rows)
            if not batch.rows["sampled"].any() or "details" not in batch.columns:
                return
            identify(batch, self._ids)
            reader = RowReader(batch, wall_offset_ns, self._kinds)
            for span in reader.spans():
                self._admit(span, now)
            self._unknown += reader.unknown
            self._discarded["no_details"] += reader.without_details
            if self._queue.ready >= self._settings.batch_spans:
                self._wake.set()

    def _admit(self, span: PendingSpan, now: float) -> None:
        if self._queue.put(span, now + CAUSE_SECONDS if is_call(span) else None):
            self._places.place_first(span)
        else:
            self._discarded["queue_full"] += 1

    def close(self, timeout_seconds: float) -> bool:
        """Sends what there is if there is time, and counts the rest; True when the thread has ended."""
        deadline = time.monotonic() + timeout_seconds
        self._closing.set()
        self._wake.set()
        if self._thread is None or self._transport is None:
            return True
        self._thread.join(timeout_seconds * 0.8)
        if self._thread.is_alive():
            self._aborted = True
            self._transport.abort()
            self._thread.join(max(deadline - time.monotonic(), 0))
        return not self._thread.is_alive()

    def status(self) -> SpanStatus:
        with self._lock:
            return SpanStatus(
                self._settings.otlp.shown_endpoint,
                self._settings.otlp.protocol,
                self._state,
                self._exported,
                {reason: count for reason, count in self._discarded.items() if count},
                dict(self._links),
                self._unknown,
                len(self._queue),
                self._queue.bytes,
                self._last_error,
            )

    def _run(self) -> None:
        assert self._transport is not None
        while not self._closing.is_set():
            self._wake.wait(self._settings.delay_seconds)
            self._wake.clear()
            self._send_all()
        self._send_all()
        with self._lock:
            self._release(float("inf"))
            self._discarded["closing"] += len(self._queue.take(len(self._queue)))
            self._state = "closed"
        self._transport.close()

    def _send_all(self) -> None:
        """Batch after batch, until nothing is ready or one was not taken."""
        while not self._aborted:
            with self._lock:
                self._release(float("inf") if self._closing.is_set() else time.monotonic())
                spans = self._queue.take(self._settings.batch_spans)
            if not spans:
                return
            try:
                outcome = self._deliver(spans)
            except Exception as error:
                # A thread that ends in silence would be worse than any error: say it, and go on with the next spans.
                log.exception("Export of spans failed inside the agent")
                outcome = Outcome("failed", type(error).__name__)
            self._settle(spans, outcome)
            if not outcome.delivered:
                return

    def _release(self, now: float) -> None:
        self._places.place_calls(self._queue.release(now))

    def _deliver(self, spans: Sequence[PendingSpan]) -> Outcome:
        """Tries again what may be only for a while, with pauses that grow; once only when the agent ends."""
        assert self._transport is not None
        data = self._encode(spans)
        pause = FIRST_PAUSE_SECONDS
        for number in range(1, TRIES + 1):
            outcome = self._transport.send(data)
            if outcome.reason not in RETRYABLE or number == TRIES or self._closing.is_set():
                break
            self._tell(outcome)
            self._closing.wait(min(max(pause, outcome.retry_after or 0.0), LONGEST_PAUSE_SECONDS))
            pause *= 2
        return outcome

    def _encode(self, spans: Sequence[PendingSpan]) -> bytes:
        groups: dict[frozenset[tuple[str, str]], tuple[Mapping[str, str], list[bytes]]] = {}
        workloads = {number: self._workload(number) for number in {n for span in spans for n in (span.local, span.peer)}}
        resources = {number: self._resources.of_workload(workload) for number, workload in workloads.items()}
        keys = {number: frozenset(resource.items()) for number, resource in resources.items()}
        peers = {number: encode_attributes(workload.peer_attributes()) for number, workload in workloads.items()}
        for span in spans:
            place = encode_links(span.trace_id, span.span_id, span.parent_id, span.flags)
            method = encode_attribute("honeyguide.link.method", span.method)
            encoded = b"".join((place, span.body, peers[span.peer] if span.peer else b"", method))
            groups.setdefault(keys[span.local], (resources[span.local], []))[1].append(encoded)
        return encode_request(groups.values(), self._version)

    def _settle(self, spans: Sequence[PendingSpan], outcome: Outcome) -> None:
        with self._lock:
            rejected = min(outcome.rejected, len(spans)) if outcome.delivered else 0
            if outcome.delivered:
                self._exported += len(spans) - rejected
                self._links.update(span.method for span in spans)
            else:
                self._discarded[outcome.reason] += len(spans)
            if rejected:
                self._discarded["rejected"] += rejected
        if outcome.delivered and not rejected and self._delivered is not None:
            self._delivered({span.span_id: span.trace_id for span in spans})
        if rejected:
            outcome = Outcome("rejected", f"{rejected} spans were not accepted: {outcome.text}")
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        """Once for every change between working and failing."""
        before, endpoint = self._state, self._settings.otlp.shown_endpoint
        text = presentable(outcome.text or outcome.reason, self._settings.otlp.headers.values())
        with self._lock:
            self._state = "failing" if outcome.reason else "exporting"
            self._last_error = text or self._last_error
        if self._state == before:
            return
        if outcome.reason:
            hint = REJECTED_HINT if outcome.reason == "rejected" else ""
            log.warning("Export of spans to %s fails: %s%s. It goes on trying.", endpoint, text, hint)
        elif before == "failing":
            log.warning("Export of spans to %s works again.", endpoint)
        else:
            log.info("Export of spans to %s works.", endpoint)


def open_span_transport(settings: OtlpSettings) -> Transport:
    """Imported here and not before, as for metrics: requests and gRPC take memory."""
    if settings.protocol != GRPC:
        from collector.export.span_http import HttpSpanTransport  # noqa: PLC0415

        return HttpSpanTransport(settings)
    try:
        from collector.export.span_grpc import GrpcSpanTransport  # noqa: PLC0415
    except ModuleNotFoundError as error:
        cause = f"OTLP over gRPC needs {error.name}, which is not installed."
        raise SettingsError(cause, "Install honeyguide[grpc], or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf.") from None
    return GrpcSpanTransport(settings)
