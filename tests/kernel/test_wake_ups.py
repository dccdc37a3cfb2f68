"""A burst onto an idle agent: the kernel wakes it before a ring overflows, and once only when it does not come."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.batch import BatchKind
from collector.clock import SystemClock
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

pytestmark = pytest.mark.kernel

CONNECTIONS = 20_000  # 40,000 records; a ring of 1 MiB holds some 5,000
FOREVER = 60.0
MOMENT = 0.3  # in which a wake-up that is not to come would have come
Open = Callable[[str, int], KernelSource]


@pytest.fixture
def open_source(project: Path) -> Iterator[Open]:
    opened: list[KernelSource] = []

    def open_one(transport: str, ring_bytes: int) -> KernelSource:
        settings = Settings(probes=("tcp",), ring_bytes=ring_bytes, transport=transport, snapshot_interval=300)
        opened.append(KernelSource(source_settings(settings, [project / "probes"]), SystemClock()))
        opened[0].open()
        opened[0].read()
        return opened[0]

    yield open_one
    for source in opened:
        source.close()


def connect(count: int) -> None:
    """Twice as many records: one of either end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(count):
            with socket.create_connection(server.getsockname()):
                server.accept()[0].close()


def connections_for(share: float, source: KernelSource, ring_bytes: int) -> int:
    """How many fill that share of the ring."""
    return int(share * ring_bytes / (source.probes[0].schemas["tcp_connection"].dtype.itemsize + 8) / 2)


def lost(source: KernelSource) -> int:
    return sum(book.lost for book in source.books())


@pytest.mark.parametrize("transport", ["ring", "perf"])
def test_a_burst_of_many_rings_from_idle_loses_nothing(open_source: Open, transport: str) -> None:
    source = open_source(transport, 1 << 20)

    def burst() -> None:
        connect(CONNECTIONS)
        source.interrupt()

    thread, rows, early = threading.Thread(target=burst), 0, 0
    thread.start()
    while thread.is_alive():
        early += source.wait(FOREVER)
        rows += sum(len(batch) for batch in source.read() if batch.kind is BatchKind.EVENTS)
    thread.join()
    rows += sum(len(batch) for batch in source.read() if batch.kind is BatchKind.EVENTS)
    assert lost(source) == 0
    assert rows >= 2 * CONNECTIONS
    assert early > 1


def test_nobody_is_woken_while_a_ring_is_nearly_empty(open_source: Open) -> None:
    source = open_source("ring", 1 << 16)
    connect(connections_for(0.1, source, 1 << 16))
    assert not source.wait(MOMENT)


def test_a_reader_that_does_not_come_is_woken_once_until_it_has_read(open_source: Open) -> None:
    source = open_source("ring", 1 << 16)
    connect(connections_for(0.4, source, 1 << 16))
    assert source.wait(FOREVER)
    connect(connections_for(0.4, source, 1 << 16))
    assert not source.wait(MOMENT)
    source.read()
    connect(connections_for(0.4, source, 1 << 16))
    assert source.wait(FOREVER)
    assert lost(source) == 0


def test_a_full_perf_buffer_wakes_no_more(open_source: Open) -> None:
    source = open_source("perf", 1 << 16)
    connect(connections_for(4, source, 1 << 16))
    assert source.wait(FOREVER)
    before = lost(source)
    connect(connections_for(1, source, 1 << 16))
    assert lost(source) > before
    assert not source.wait(MOMENT)


def test_a_probe_that_is_gone_ends_no_wait(open_source: Open) -> None:
    source = open_source("ring", 1 << 16)
    count = connections_for(0.4, source, 1 << 16)
    released = source.release("tcp", None)
    assert released is not None
    connect(count)
    assert not source.wait(MOMENT)
    released.close()
