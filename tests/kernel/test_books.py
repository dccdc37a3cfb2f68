"""More events than a ring can hold: the books still balance to the event, and what was lost is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.accounts import Book
from collector.batch import BatchKind
from collector.clock import SystemClock
from collector.health import HealthMonitor
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

pytestmark = pytest.mark.kernel

CONNECTIONS = 2000
SMALLEST_RING = 1 << 16


@pytest.fixture(params=["ring", "perf"])
def source(request: pytest.FixtureRequest, project: Path) -> Iterator[KernelSource]:
    settings = Settings(probes=("tcp",), ring_bytes=SMALLEST_RING, transport=request.param, snapshot_interval=300)
    opened = KernelSource(source_settings(settings, [project / "probes"]), SystemClock())
    opened.open()
    yield opened
    opened.close()


def flood() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(CONNECTIONS):
            with socket.create_connection(server.getsockname()):
                server.accept()[0].close()


def book_of(source: KernelSource) -> Book:
    (book,) = [book for book in source.books() if book.account == "state_changes"]
    return book


def test_a_flood_overflows_the_ring_and_the_books_hold_exactly(source: KernelSource) -> None:
    source.read()
    flood()
    batches = [batch for batch in source.read() if batch.kind is BatchKind.EVENTS]
    source.read()
    book = book_of(source)
    assert book.dropped["ring_full"] > 0
    assert book.seen == book.emitted + book.filtered + book.sampled + sum(book.dropped.values())
    assert book.emitted == book.decoded + book.undecodable
    assert book.undecodable == 0
    assert sum(len(batch) for batch in batches) <= book.decoded
    assert book.emitted + book.dropped["ring_full"] >= 2 * CONNECTIONS


def test_health_is_degraded_by_the_loss_and_recovers(source: KernelSource) -> None:
    monitor = HealthMonitor()
    source.read()
    monitor.check_books(source.books(), now=1000.0)
    assert monitor.health(1000.0).status == "ok"
    flood()
    source.read()
    monitor.check_books(source.books(), now=1010.0)
    degraded = monitor.health(1010.0)
    assert degraded.status == "degraded"
    assert "ring was full" in " ".join(degraded.reasons)
    monitor.check_books(source.books(), now=1050.0)
    assert monitor.health(1050.0).status == "ok"
