"""What memory can become: every request from another connection, for another path, until the tables are full. See README.md."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
from made_exchanges import REQUEST, STARTED_AT, STEP_NS, exchange_probe, make_exchanges

from collector.batch import Batch, BatchKind, Rows
from collector.clock import FixedClock
from collector.node_building import build_node
from collector.settings import Settings
from collector.source.replay_source import ReplaySource

RECORDS = 4000
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
ROOT = Path(__file__).resolve().parents[1]


def make_strangers(dtype: np.dtype[np.void], first: int) -> Rows:
    """Exchanges none of which is like another."""
    rows = make_exchanges(dtype, first, RECORDS)
    rows["flow"] = 1 + np.arange(first, first + RECORDS)
    for row in range(RECORDS):
        path = b"area-%x/thing-%x/%d" % ((first + row) % 251, first + row, first + row)
        head = REQUEST % path
        rows["request"][row, : len(head)] = np.frombuffer(head[: rows["request"].shape[1]], np.uint8)
        rows["request_captured"][row] = min(len(head), rows["request"].shape[1])
    return rows


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MIB


def traced_by_file() -> Counter[str]:
    """MiB of what was allocated since the start and is still there, by the file of the collector that did it."""
    gc.collect()
    held: Counter[str] = Counter()
    for one in tracemalloc.take_snapshot().statistics("filename"):
        held[one.traceback[0].filename.removeprefix(f"{ROOT}/")] += one.size / 2**20
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300_000, help="in all (300000)")
    parser.add_argument("--files", action="store_true", help="where it lies, by file; takes three times as long")
    arguments = parser.parse_args()
    probe = exchange_probe()
    schema = probe.schemas["socket_exchange"]
    node = build_node(Settings(), FixedClock(0), ReplaySource(None), {})  # type: ignore[arg-type] -- never opened
    node.add_probe(probe.model)
    if arguments.files:
        tracemalloc.start()
    print(f"{0:8} requests: {resident_mib():6.1f} MiB resident")
    for number in range(0, arguments.requests, RECORDS):
        node.pipeline.clock.now_boot_ns = STARTED_AT + (number + RECORDS) * STEP_NS  # type: ignore[attr-defined]
        node.pipeline.process([Batch(schema, BatchKind.EVENTS, make_strangers(schema.dtype, number))])
        node.pipeline.take_decisions()  # as the agent does, for the kernel
        if (number + RECORDS) % (arguments.requests // 10) < RECORDS:
            print(f"{number + RECORDS:8} requests: {resident_mib():6.1f} MiB resident", flush=True)
    if arguments.files:
        for name, held in traced_by_file().most_common(20):
            print(f"  {name:60} {held:7.2f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
