"""What the very first read brings, when the rings have been filling since the probes were attached."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from collector.clock import SystemClock
from collector.settings import Settings
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings

pytestmark = pytest.mark.kernel


def test_processes_are_known_before_the_rows_that_need_them(project: Path) -> None:
    source = KernelSource(source_settings(Settings(probes=("process", "tcp")), [project / "probes"]), SystemClock())
    source.open()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
            server.accept()[0].close()
        batches = [batch for batch in source.read() if len(batch)]
    finally:
        source.close()
    known = next(
        place for place, batch in enumerate(batches) if batch.schema.record == "process_event" and os.getpid() in batch["process"]
    )
    first = next(place for place, batch in enumerate(batches) if batch.schema.record == "tcp_connection")
    assert known < first
