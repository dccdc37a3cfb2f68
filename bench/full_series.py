"""What metrics cost when every instrument is full: their tables, and a scrape of them. See README.md.

    .venv/bin/python bench/full_series.py [--series 2000]

All shipped probes, so many series in each instrument, with a workload, a peer and a route each. Needs no root.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from full_tables import resident_mib

from collector.aggregate.feed import Feed
from collector.aggregate.series import Labels
from collector.catalog.probe_folder import find_folders, read_probe
from collector.clock import FixedClock
from collector.heap import give_back_free_pages
from collector.node import Node
from collector.node_building import build_node
from collector.settings import Settings
from collector.source.replay_source import ReplaySource
from collector.workload import WorkloadKind

PROBES = Path(__file__).resolve().parents[1] / "probes"
WORKLOADS, NOW = 500, 1_700_000_000.0


def fill(feed: Feed, series: int, owners: list[int]) -> None:
    """As many series as have room; each bucket of each has counted something."""

    def describe(position: int) -> Labels:
        peer = owners[position * 7 % len(owners)] if "peer" in feed.metric.identity else -1
        known = {attribute: f"/of-{attribute}/{position // 7}" for attribute in feed.metric.attributes}
        return Labels(owners[position % len(owners)], peer, known)

    places = feed.table.place(np.arange(1, series + 1, dtype=np.uint64), describe, NOW)
    feed.table.values[places] = 1000.0 + np.arange(feed.table.width)


def read_peak() -> float:
    """Most resident MiB since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def full_node(series: int) -> Node:
    node = build_node(Settings(max_series=series), FixedClock(0), ReplaySource(None), {})  # type: ignore[arg-type] -- never opened
    for folder in find_folders([PROBES]):
        node.add_probe(read_probe(folder, None).model)
    owners = [node.identities.intern(WorkloadKind.UNIT, f"service-{number}.service") for number in range(WORKLOADS)]
    for _, feed in node.pipeline.rooms.aggregator._all_feeds():
        fill(feed, series, owners)
    return node


def scrape(node: Node) -> tuple[int, int]:
    """(lines, bytes) of a page that nobody keeps."""
    page = node.render_metrics("")
    assert page is not None
    length = lines = 0
    for piece in page[0]:
        length += len(piece)
        lines += piece.count(b"\n")
    return lines, length


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=2000, help="of each instrument (2000)")
    arguments = parser.parse_args()
    print(f"with no series {full_node(10) and resident_mib():6.1f} MiB")
    node = full_node(arguments.series)
    tables = sum(1 for _ in node.pipeline.rooms.aggregator._all_feeds())
    print(f"{tables} instruments of {arguments.series} series: {resident_mib():6.1f} MiB")
    for _ in range(3):
        reset_peak()
        begun = time.process_time()
        lines, length = scrape(node)
        spent = time.process_time() - begun
        memory = f"at most {read_peak():6.1f} MiB, then {resident_mib():6.1f}"
        print(f"a page of {lines} lines, {length / 2**20:.0f} MiB, {spent:.1f} s of CPU: {memory}", flush=True)
    give_back_free_pages()
    print(f"after what was free has gone back: {resident_mib():6.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
