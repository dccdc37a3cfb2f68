import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import certifi
import pytest
from otlp_receiver import (
    Handler,
    HttpReceiver,
    accept,
    accept_without,
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

from collector.errors import SettingsError
from collector.export.otlp import OtlpExporter, OtlpStatus
from collector.export.otlp_settings import GRPC, OtlpSettings
from collector.export.resource import read_resources
from collector.instruments import (
    AttributeValue,
    ExponentialBuckets,
    HistogramValue,
    Instrument,
    InstrumentKind,
    InstrumentSnapshot,
    Point,
    Snapshot,
)
from collector.workload import Workload, WorkloadKind

IO = Instrument("honeyguide.tcp.io", InstrumentKind.COUNTER, "By", "TCP payload.")
RTT = Instrument("honeyguide.tcp.rtt", InstrumentKind.HISTOGRAM, "s", "Round trips.", (0.1, 1.0))
FILL = Instrument("honeyguide.ring.fill", InstrumentKind.GAUGE, "1", "Fill.")
OPEN = Instrument("honeyguide.open", InstrumentKind.UPDOWNCOUNTER, "{socket}", "Open.")
NGINX = Workload(1, WorkloadKind.UNIT, "nginx")
RESOURCES = read_resources({}, "node-1", "abc", "0.1.0")
SENT: frozenset[tuple[str, object]] = frozenset({("network.io.direction", "transmit"), ("server.port", 80)})
NONE: frozenset[tuple[str, object]] = frozenset()


class Numbers:
    """What a test lets the exporter see."""

    def __init__(self, series: int = 1) -> None:
        self.sent = 10.0
        self.broken = False
        self.taken = 0
        self.series = series

    def take(self) -> Snapshot:
        if self.broken:
            raise RuntimeError("no snapshot")
        self.taken += 1
        labels: dict[str, AttributeValue] = {"network.io.direction": "transmit", "server.port": 80}
        histogram = HistogramValue([1, 2, 3], 7.5, 6, ExponentialBuckets(1, 2, -5, [0, 1, 3, 0]))
        many = [Point(NGINX, {**labels, "n": number}, 1.0, 1000.5) for number in range(1, self.series)]
        return Snapshot(
            2000.25 + self.taken,
            [
                InstrumentSnapshot(IO, [Point(NGINX, labels, self.sent, 1000.5), *many]),
                InstrumentSnapshot(RTT, [Point(NGINX, {}, histogram, 1000.5)]),
                InstrumentSnapshot(FILL, [Point(None, {}, 0.25, 1000.5)]),
                InstrumentSnapshot(OPEN, [Point(None, {}, 4.0, 1000.5)]),
            ],
        )


def settings_for(address: str, **changes: object) -> OtlpSettings:
    settings = OtlpSettings(f"{address}/v1/metrics", interval_seconds=0.1, timeout_seconds=1.0)
    return replace(settings, **changes)  # type: ignore[arg-type]


@contextmanager
def exporting(settings: OtlpSettings, numbers: Numbers) -> Iterator[OtlpExporter]:
    exporter = OtlpExporter(settings, RESOURCES, numbers.take, "0.1.0")
    exporter.start()
    try:
        yield exporter
    finally:
        assert exporter.close(10.0)


def test_points_arrive_with_their_resource_kind_unit_and_times() -> None:
    with http_receiver() as receiver, exporting(settings_for(receiver.address), Numbers()):
        wait_for(lambda: receiver.received)
    request = receiver.received[0]
    assert [attributes(one.resource)["service.name"] for one in request.resource_metrics] == ["nginx", "honeyguide"]
    assert attributes(request.resource_metrics[0].resource)["host.id"] == "abc"
    scope = request.resource_metrics[0].scope_metrics[0]
    assert (scope.scope.name, scope.scope.version) == ("honeyguide", "0.1.0")
    assert scope.schema_url == request.resource_metrics[0].schema_url != ""
    found = {name: (metric, point) for name, metric, point in receiver.points()}
    metric, point = found["nginx", "honeyguide.tcp.io", SENT]
    assert (metric.unit, metric.description, metric.sum.is_monotonic) == ("By", "TCP payload.", True)
    assert metric.sum.aggregation_temporality == 2
    assert point.start_time_unix_nano == 1_000_500_000_000
    assert point.time_unix_nano >= 2_001_250_000_000
    metric, point = found["nginx", "honeyguide.tcp.rtt", NONE]
    assert (list(point.bucket_counts), list(point.explicit_bounds), point.count, point.sum) == ([1, 2, 3], [0.1, 1.0], 6, 7.5)
    assert not point.HasField("min")
    metric, point = found["honeyguide", "honeyguide.ring.fill", NONE]
    assert (metric.WhichOneof("data"), point.as_double) == ("gauge", 0.25)
    metric, point = found["honeyguide", "honeyguide.open", NONE]
    assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality, point.as_double) == (False, 2, 4.0)


def test_exponential_histograms_are_sent_when_asked_for() -> None:
    with http_receiver() as receiver, exporting(settings_for(receiver.address, exponential=True), Numbers()):
        wait_for(lambda: receiver.received)
    point = receiver.streams()["nginx", "honeyguide.tcp.rtt", NONE]
    assert (point.scale, point.zero_count, point.positive.offset, list(point.positive.bucket_counts)) == (1, 2, -4, [1, 3])
    assert (point.count, point.sum) == (6, 7.5)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_headers_and_compression_are_used(compression: str) -> None:
    with http_receiver() as receiver:
        settings = settings_for(receiver.address, compression=compression, headers={"api-key": "s3cret"})
        with exporting(settings, Numbers()):
            wait_for(lambda: receiver.received)
    assert receiver.headers[0]["api-key"] == "s3cret"
    assert receiver.headers[0].get("Content-Encoding", "none") == compression
    assert receiver.paths[0] == "/v1/metrics"


def test_large_snapshot_goes_out_in_bounded_requests() -> None:
    receiver, status = export_once(accept, Numbers(series=25), max_points_per_request=10)
    sizes = [sum(1 for _ in HttpReceiver(received=[request]).points()) for request in receiver.received]
    assert (sizes, status.exported_points) == ([10, 10, 8], 28)


def test_last_numbers_are_sent_at_the_end() -> None:
    numbers = Numbers()
    with http_receiver() as receiver:
        with exporting(settings_for(receiver.address, interval_seconds=60.0), numbers) as exporter:
            numbers.sent = 99.0
        assert receiver.streams()["nginx", "honeyguide.tcp.io", SENT].as_double == 99.0
        assert (exporter.status().state, exporter.status().exported_points) == ("closed", 4)


def test_delta_keeps_what_was_not_delivered() -> None:
    numbers = Numbers()
    with http_receiver() as receiver, exporting(settings_for(receiver.address, temporality="delta"), numbers) as exporter:
        wait_for(lambda: exporter.status().exported_points)
        receiver.behave = answer_with(500)
        numbers.sent = 15.0
        wait_for(lambda: exporter.status().failed_points.get("server_error"))
        numbers.sent = 18.0
        exports = exporter.status().exports
        wait_for(lambda: exporter.status().exports >= exports + 2)  # one may have been on its way with the old number
        receiver.behave = accept
        wait_for(lambda: exporter.status().state == "exporting")
        refused = last_with(receiver, 8.0)
    found = [(m, p) for name, m, p in receiver.points(refused) if name[1] == "honeyguide.tcp.io"]
    metric, point = found[0]
    assert (point.as_double, metric.sum.aggregation_temporality) == (8.0, 1)
    assert point.start_time_unix_nano < point.time_unix_nano - 1_000_000_000
    assert len(found) == 1


def last_with(receiver: HttpReceiver, value: float) -> int:
    """Number of the last request that carries this delta: those before it were refused."""
    wanted = [
        number
        for number in range(len(receiver.received))
        if any(
            name[1] == "honeyguide.tcp.io" and point.as_double == value
            for name, _, point in HttpReceiver(received=[receiver.received[number]]).points()
        )
    ]
    return wanted[-1]


def behaviour_and_reason() -> list[object]:
    return [
        pytest.param(answer_with(400), "rejected", id="bad request"),
        pytest.param(answer_with(401), "unauthorized", id="unauthorized"),
        pytest.param(answer_with(302, Location="/elsewhere"), "rejected", id="redirect"),
        pytest.param(answer_with(500), "server_error", id="server error"),
        pytest.param(answer_with(429, Retry_After="3600"), "throttled", id="throttled for an hour"),
        pytest.param(answer_with(503, Retry_After="0"), "throttled", id="unavailable, retry at once"),
        pytest.param(hang, "timeout", id="hangs"),
        pytest.param(close_midway, "connection", id="closes midway"),
        pytest.param(answer_drop_by_drop, "timeout", id="answers drop by drop"),
    ]


@pytest.mark.parametrize(("behave", "reason"), behaviour_and_reason())
def test_endpoint_that_fails_is_counted_and_its_recovery_seen(
    behave: Callable[[Handler], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with http_receiver(behave) as receiver, exporting(settings_for(receiver.address), Numbers()) as exporter:
        wait_for(lambda: exporter.status().state == "failing")
        status = exporter.status()
        assert (set(status.failed_points), status.failed_points[reason] % 4, status.exported_points) == ({reason}, 0, 0)
        if "Retry-After" not in status.last_error and reason != "throttled":
            receiver.released.set()
            receiver.behave = accept
            wait_for(lambda: exporter.status().state == "exporting")
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "fails" in line]) == 1
    assert all(record.name == "collector.export.otlp" for record in caplog.records)


def test_endpoint_that_refuses_connections_is_counted() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with exporting(settings_for(address), Numbers()) as exporter:
            wait_for(lambda: exporter.status().state == "failing")
            assert set(exporter.status().failed_points) == {"refused"}
            assert exporter.status().last_error == "Connection refused"


def test_endpoint_is_left_alone_as_long_as_it_asks() -> None:
    throttle = answer_with(429, Retry_After="3600")
    with http_receiver(throttle) as receiver, exporting(settings_for(receiver.address), Numbers()) as exporter:
        wait_for(lambda: exporter.status().state == "failing")
        time.sleep(0.5)
        assert (len(receiver.received), exporter.status().exports) == (1, 1)


def export_once(behave: Callable[[Handler], None], numbers: Numbers, **changes: object) -> tuple[HttpReceiver, OtlpStatus]:
    """What arrived, and what the exporter says, after one snapshot."""
    with http_receiver(behave) as receiver:
        with exporting(settings_for(receiver.address, interval_seconds=60.0, **changes), numbers) as exporter:
            assert exporter.status().state == "waiting"
        return receiver, exporter.status()


def test_rejected_points_are_counted_and_explained() -> None:
    _, status = export_once(accept_without(3, "label  too long"), Numbers())
    assert (status.exported_points, status.failed_points) == (1, {"rejected": 3})
    assert status.last_error == "3 points were not accepted: label  too long"


def test_secret_that_the_endpoint_repeats_is_not_kept() -> None:
    _, status = export_once(accept_without(1, "the key s3cret is wrong"), Numbers(), headers={"api-key": "s3cret"})
    assert status.last_error == "1 points were not accepted: the key … is wrong"


def test_after_a_failure_the_rest_of_the_snapshot_is_skipped() -> None:
    receiver, status = export_once(answer_with(500), Numbers(series=25), max_points_per_request=10)
    assert len(receiver.received) == 1
    assert status.failed_points == {"server_error": 10, "skipped": 18}


def test_request_that_is_refused_does_not_hold_up_the_others() -> None:
    def refuse_first(handler: Handler) -> None:
        handler.take()
        handler.answer(400 if len(handler.receiver.received) == 1 else 200)

    _, status = export_once(refuse_first, Numbers(series=25), max_points_per_request=10)
    assert (status.failed_points, status.exported_points) == ({"rejected": 10}, 18)


@pytest.mark.parametrize("behave", [hang, answer_drop_by_drop, answer_without_end])
def test_close_keeps_to_its_time_whatever_the_endpoint_does(behave: Callable[[Handler], None]) -> None:
    with http_receiver(behave) as receiver:
        exporter = OtlpExporter(settings_for(receiver.address, timeout_seconds=60.0), RESOURCES, Numbers().take)
        exporter.start()
        wait_for(lambda: receiver.received or exporter.status().exports)
        began = time.monotonic()
        assert exporter.close(1.0)
        assert time.monotonic() - began < 30
        assert exporter.status().state == "closed"


def test_endless_answer_is_read_only_so_far() -> None:
    with http_receiver(answer_without_end) as receiver:
        tracemalloc.start()
        try:
            with exporting(settings_for(receiver.address, timeout_seconds=5.0), Numbers()) as exporter:
                wait_for(lambda: exporter.status().exports >= 3)
            assert tracemalloc.get_traced_memory()[1] < 30_000_000
        finally:
            tracemalloc.stop()
    assert exporter.status().exported_points >= 12


def test_snapshot_that_cannot_be_taken_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    numbers = Numbers()
    numbers.broken = True
    with http_receiver() as receiver, exporting(settings_for(receiver.address), numbers) as exporter:
        wait_for(lambda: exporter.status().state == "failing")
        numbers.broken = False
        wait_for(lambda: receiver.received)
    assert "OTLP export failed inside the agent" in caplog.text


def test_threads_end() -> None:
    before = threading.active_count()
    with http_receiver() as receiver, exporting(settings_for(receiver.address), Numbers()):
        wait_for(lambda: receiver.received)
    wait_for(lambda: threading.active_count() <= before)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path]:
    """Files with a certificate for this machine and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate), *subject]
    subprocess.run(make, check=True, capture_output=True)
    return certificate, key


def test_tls_is_checked_against_the_given_certificate(tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with http_receiver(tls=tls) as receiver:
        with exporting(settings_for(receiver.address), Numbers()) as exporter:
            wait_for(lambda: exporter.status().failed_points.get("tls"))
            assert exporter.status().last_error == "TLS: CERTIFICATE_VERIFY_FAILED"
        with exporting(settings_for(receiver.address, certificate=str(tls[0])), Numbers()) as exporter:
            wait_for(lambda: exporter.status().exported_points)


def test_tls_is_checked_over_grpc_too(tls: tuple[Path, Path]) -> None:
    pytest.importorskip("grpc")
    with grpc_receiver(tls) as receiver:
        settings = OtlpSettings(receiver.address, GRPC, interval_seconds=0.1, timeout_seconds=0.5)
        with exporting(settings, Numbers()) as exporter:
            wait_for(lambda: exporter.status().failed_points)
            assert exporter.status().exported_points == 0
        with exporting(replace(settings, certificate=str(tls[0])), Numbers()) as exporter:
            wait_for(lambda: exporter.status().exported_points)


def test_missing_grpc_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "collector.export.otlp_grpc", raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(SettingsError, match=r"honeyguide\[grpc\]"):
        OtlpExporter(OtlpSettings("http://127.0.0.1:1", GRPC), RESOURCES, Numbers().take).start()


def test_grpc_delivers_the_same_points() -> None:
    pytest.importorskip("grpc")
    with grpc_receiver() as receiver:
        settings = OtlpSettings(receiver.address, GRPC, {"api-key": "s3cret"}, compression="gzip", interval_seconds=0.1)
        with exporting(settings, Numbers()) as exporter:
            wait_for(lambda: exporter.status().exported_points)
    assert receiver.streams()["nginx", "honeyguide.tcp.io", SENT].as_double == 10.0
    assert receiver.headers[0]["api-key"] == "s3cret"


def test_grpc_failures_have_their_reasons() -> None:
    grpc = pytest.importorskip("grpc")
    with grpc_receiver() as receiver:
        settings = OtlpSettings(receiver.address, GRPC, interval_seconds=0.1, timeout_seconds=0.5)
        with exporting(settings, Numbers()) as exporter:
            reasons = {"PERMISSION_DENIED": "unauthorized", "INTERNAL": "server_error", "UNIMPLEMENTED": "rejected"}
            for code, reason in reasons.items():
                receiver.behave = lambda _, context, code=code: context.abort(getattr(grpc.StatusCode, code), "no")  # type: ignore[misc]
                wait_for(lambda reason=reason: exporter.status().failed_points.get(reason))  # type: ignore[misc]
            receiver.behave = lambda *_: receiver.released.wait(30)  # type: ignore[assignment]
            wait_for(lambda: exporter.status().failed_points.get("timeout"))
            receiver.released.set()


def test_grpc_endpoint_that_hangs_does_not_hold_up_the_end() -> None:
    pytest.importorskip("grpc")
    with grpc_receiver() as receiver:
        receiver.behave = lambda *_: receiver.released.wait(30)  # type: ignore[assignment]
        settings = OtlpSettings(receiver.address, GRPC, interval_seconds=0.1, timeout_seconds=60.0)
        exporter = OtlpExporter(settings, RESOURCES, Numbers().take)
        exporter.start()
        wait_for(lambda: receiver.received)
        began = time.monotonic()
        assert exporter.close(1.0)
        assert time.monotonic() - began < 30


def test_grpc_endpoint_that_is_not_there_is_refused() -> None:
    pytest.importorskip("grpc")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = OtlpSettings(f"http://127.0.0.1:{unused.getsockname()[1]}", GRPC, interval_seconds=0.1, timeout_seconds=0.5)
        with exporting(settings, Numbers()) as exporter:
            wait_for(lambda: exporter.status().failed_points.get("refused"))
