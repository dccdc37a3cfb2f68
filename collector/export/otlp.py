"""Pushes snapshots to an OTLP endpoint from a thread of its own. A dead, slow or broken endpoint costs bounded time and memory.

Nothing is queued: what could not be sent is in the next snapshot. Only one request is encoded at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from collector.errors import SettingsError
from collector.export.otlp_outcome import HOPELESS, Outcome, presentable
from collector.export.otlp_settings import GRPC, OtlpSettings
from collector.export.otlp_streams import Request, StreamGrouping
from collector.export.resource import Resources
from collector.instruments import Snapshot

log = logging.getLogger(__name__)

FIRST_EXPORT_SECONDS = 5.0  # a wrong endpoint is told soon, not after a whole interval
LONGEST_PAUSE_SECONDS = 300.0  # what an endpoint may ask for with Retry-After
NOISY_LOGGERS = ("opentelemetry.exporter", "opentelemetry.sdk", "urllib3", "grpc")


class Transport(Protocol):
    """send: one request; its data class is opaque here. abort: from another thread, ends a send."""

    def send(self, data: Any) -> Outcome: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OtlpStatus:
    """state: waiting (nothing tried yet), exporting, failing or closed. points are counted once for every interval.

    failed_points: by reason. last_error: one line without secrets, kept after it recovered. duration_seconds: of the last export.
    """

    endpoint: str
    protocol: str
    state: str = "waiting"
    exports: int = 0
    exported_points: int = 0
    failed_points: Mapping[str, int] = field(default_factory=dict)
    last_error: str = ""
    last_success_at: float = 0.0
    duration_seconds: float = 0.0


class OtlpExporter:
    """take_snapshot is called from the exporter's thread, once for each interval and once at the end."""

    def __init__(
        self, settings: OtlpSettings, resources: Resources, take_snapshot: Callable[[], Snapshot], version: str = ""
    ) -> None:
        self._settings = settings
        self._take_snapshot = take_snapshot
        self._version = version
        self._grouping = StreamGrouping(resources, settings.temporality, settings.exponential)
        self._status = OtlpStatus(settings.shown_endpoint, settings.protocol)
        self._closing = threading.Event()
        self._aborted = False
        self._thread: threading.Thread | None = None
        self._transport: Transport | None = None
        self._encode: Callable[[Request, str], Any] | None = None

    def start(self) -> None:
        """SettingsError when the protocol's packages are missing or its files are unusable."""
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._transport = open_transport(self._settings)
        self._encode = load_encoder()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    def close(self, timeout_seconds: float) -> bool:
        """Sends the last numbers if there is time; True when the thread has ended. Call it while snapshots can still be taken."""
        deadline = time.monotonic() + timeout_seconds
        self._closing.set()
        if self._thread is None or self._transport is None:
            return True
        self._thread.join(timeout_seconds * 0.8)
        if self._thread.is_alive():
            self._aborted = True
            self._transport.abort()
            self._thread.join(max(deadline - time.monotonic(), 0))
        return not self._thread.is_alive()

    def status(self) -> OtlpStatus:
        return self._status

    def _run(self) -> None:
        assert self._transport is not None
        pause = min(FIRST_EXPORT_SECONDS, self._settings.interval_seconds)
        while not self._closing.wait(pause):
            started = time.monotonic()
            asked = self._export()
            pause = max(self._settings.interval_seconds - (time.monotonic() - started), asked, 0)
        if not self._aborted:
            self._export()
        self._status = replace(self._status, state="closed")
        self._transport.close()

    def _export(self) -> float:
        """One cycle; the seconds that the endpoint asked to be left alone."""
        started = time.monotonic()
        cycle = _Cycle()
        try:
            snapshot = self._take_snapshot()
            cycle.taken_at = snapshot.taken_at
            for request in self._grouping.requests(snapshot, self._settings.max_points_per_request):
                over = time.monotonic() - started > self._settings.cycle_seconds
                self._settle(cycle, request, SKIPPED if over or cycle.hopeless else self._send(request))
        except Exception as error:
            # A thread that ends in silence would be worse than any error: say it, and try again at the next interval.
            log.exception("OTLP export failed inside the agent")
            cycle.problem = Outcome("failed", type(error).__name__)
        self._conclude(cycle, time.monotonic() - started)
        return min(cycle.problem.retry_after or 0.0, LONGEST_PAUSE_SECONDS)

    def _send(self, request: Request) -> Outcome:
        assert self._transport is not None and self._encode is not None
        return self._transport.send(self._encode(request, self._version))

    def _settle(self, cycle: _Cycle, request: Request, outcome: Outcome) -> None:
        """What the endpoint refuses to read is not sent again: it would be refused again, and the rest with it."""
        cycle.count(request.points, outcome)
        if outcome.delivered or outcome.reason == "rejected":
            self._grouping.tracker.deliver(request.deltas())

    def _conclude(self, cycle: _Cycle, seconds: float) -> None:
        before = self._status
        failed = Counter(before.failed_points)
        failed.update(cycle.failed)
        text = presentable(cycle.problem.text or cycle.problem.reason, self._settings.headers.values())
        self._status = replace(
            before,
            state="failing" if cycle.problem.reason else "exporting",
            exports=before.exports + 1,
            exported_points=before.exported_points + cycle.delivered,
            failed_points=dict(failed),
            last_error=text or before.last_error,
            last_success_at=cycle.taken_at if cycle.delivered else before.last_success_at,
            duration_seconds=seconds,
        )
        if self._status.state != before.state:
            self._tell(before.state, text)

    def _tell(self, before: str, text: str) -> None:
        endpoint, interval = self._settings.shown_endpoint, self._settings.interval_seconds
        if self._status.state == "failing":
            log.warning("OTLP export to %s fails: %s. The next try is in %g s, and so on.", endpoint, text, interval)
        elif before == "failing":
            log.warning("OTLP export to %s works again.", endpoint)
        else:
            log.info("OTLP export to %s works.", endpoint)


SKIPPED = Outcome("skipped")


@dataclass(slots=True)
class _Cycle:
    """One snapshot on its way. problem: the first thing that went wrong."""

    taken_at: float = 0.0
    delivered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    problem: Outcome = field(default_factory=Outcome)

    @property
    def hopeless(self) -> bool:
        return self.problem.reason in HOPELESS

    def count(self, points: int, outcome: Outcome) -> None:
        rejected = min(outcome.rejected, points)
        if not outcome.delivered:
            self.failed[outcome.reason] += points
        else:
            self.delivered += points - rejected
        if rejected:
            self.failed["rejected"] += rejected
            outcome = Outcome("rejected", f"{rejected} points were not accepted: {outcome.text}")
        if not self.problem.reason:
            self.problem = outcome


def open_transport(settings: OtlpSettings) -> Transport:
    """The SDK is imported here and not before: it takes 8 MiB, with gRPC 18."""
    if settings.protocol != GRPC:
        from collector.export.otlp_http import HttpTransport  # noqa: PLC0415

        return HttpTransport(settings)
    try:
        from collector.export.otlp_grpc import GrpcTransport  # noqa: PLC0415
    except ModuleNotFoundError as error:
        cause = f"OTLP over gRPC needs {error.name}, which is not installed."
        raise SettingsError(cause, "Install honeyguide[grpc], or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf.") from None
    return GrpcTransport(settings)


def load_encoder() -> Callable[[Request, str], Any]:
    from collector.export.otlp_encoding import to_metrics_data  # noqa: PLC0415 -- see open_transport

    return to_metrics_data
