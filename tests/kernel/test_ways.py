"""Each way of a probe that this kernel has counts the same workload as exactly as the one that the agent would take."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest
from patience import PATIENCE_SECONDS
from probe_trial import PROBES, differences, open_source

from collector.batch import Batch
from collector.catalog.probe_folder import find_folders, read_manifest
from collector.errors import HoneyguideError
from collector.source.forced_hooks import word_of
from collector.source.kernel_source import KernelSource

pytestmark = pytest.mark.kernel

WAYS = [(folder.name, way) for folder in find_folders([PROBES]) for way in read_manifest(folder).ways]


def open_by(probe: str, word: str) -> KernelSource:
    """word: what `hooks` asks for. Skips where this kernel cannot do that."""
    try:
        return open_source(probe, "auto", [f"{probe}={word}"])
    except HoneyguideError as error:
        pytest.skip(error.cause)


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}: {way[1]}")
def source(request: pytest.FixtureRequest) -> Iterator[KernelSource]:
    probe, way = request.param
    opened = open_by(probe, word_of(way))
    yield opened
    opened.close()


def test_every_way_counts_exactly(source: KernelSource) -> None:
    assert differences(source) == []


@pytest.mark.parametrize("program", ["count_sent_fentry", "count_received_kprobe"])
def test_a_program_of_udp_brings_what_belongs_to_it(program: str) -> None:
    """A socket has another number where calls are watched than where packets are: one half of each would give two flows."""
    source = open_by("udp", program)
    try:
        used = {hook.program for status in source.statuses() if status.probe == "udp" for hook in status.hooks}
        assert program in used
        assert len({one.rpartition("_")[2] for one in used}) == 1
        assert differences(source) == []
    finally:
        source.close()


def test_socket_that_only_receives_and_is_older_than_the_agent_has_its_owner() -> None:
    receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with receiver, sender:
        receiver.bind(("127.0.0.1", 0))
        source = open_source("udp", "auto")
        try:
            source.read()
            sender.sendto(b"1", receiver.getsockname())
            owners = wait_for_owners(source, receiver.getsockname()[1])
        finally:
            source.close()
    assert owners == {(os.getpid(), "descriptor")}


def wait_for_owners(source: KernelSource, port: int) -> set[tuple[int, str]]:
    """(process, how it was found) of the flows that a socket with that port received."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    found: set[tuple[int, str]] = set()
    while not found and time.monotonic() < deadline:
        for batch in source.read():
            if batch.schema.record == "udp_flow":
                found |= owners_in(batch, port)
        time.sleep(0.05)
    return found


def owners_in(batch: Batch, port: int) -> set[tuple[int, str]]:
    rows = batch.rows[np.asarray(batch["local_port"] == port)]
    names = batch.schema.field("owner_evidence").names
    return {(int(row["process"]), names[int(row["owner_evidence"])]) for row in rows}
