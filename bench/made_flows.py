"""Ended TCP connections, made by arithmetic from their number: 50 workloads, 40 peers, 200 pairs of them.

`bcc_callback.py` has the same arithmetic in C; `drain.py` compares the sums of both sides.
"""

from __future__ import annotations

import ipaddress
import mmap
import os
from pathlib import Path

import numpy as np

from collector.batch import Rows
from collector.catalog.probe_folder import Probe, read_probe

WORKLOADS, PEERS = 50, 40
CLOSED_EVENT, CLOSED_OUTCOME, RESET_OUTCOME = 2, 1, 2
OPENED_AT = 1_000_000_000_000
PAGE = mmap.PAGESIZE
# One name for the network of each peer.
NETWORKS = [(f"rack-{peer}", ipaddress.ip_network(f"10.0.{peer}.0/24")) for peer in range(PEERS)]


def tcp_probe() -> Probe:
    return read_probe(Path(__file__).resolve().parent.parent / "probes/tcp", None)


def make_flows(dtype: np.dtype[np.void], first: int, count: int) -> Rows:
    """`count` connections from number `first` on, as the TCP probe reports their ends."""
    number = np.arange(first, first + count, dtype=np.uint64)
    rows = np.zeros(count, dtype)
    columns = {
        "flow": number + 1,
        "opened_at": OPENED_AT + number * 1000,
        "established_at": OPENED_AT + number * 1000 + 200_000,
        "observed_at": OPENED_AT + number * 1000 + 5_000_000,
        "connect_duration": np.where(number % 2, 0, 200_000 + number % 1000 * 1000),
        "duration": 5_000_000 + number % 5000 * 10_000,
        "bytes_sent": 100 + number % 1400,
        "bytes_received": 200 + number % 3000,
        "segments_sent": 5 + number % 10,
        "segments_received": 6 + number % 12,
        "retransmits": number % 100 == 0,
        "smoothed_rtt": 50 + number % 500,
        "process": 1000 + number % WORKLOADS,
        "process_started_at": 5_000_000_000 + number % WORKLOADS,
        "role": 1 + number % 2,
        "outcome": np.where(number % 10, CLOSED_OUTCOME, RESET_OUTCOME),
        "local_port": 40000,
        "remote_port": 443,
    }
    for name, values in columns.items():
        rows[name] = values
    rows["cgroup"], rows["netns"], rows["event"] = 1, 4026531840, CLOSED_EVENT
    rows["command"] = np.char.add("service-", np.char.zfill((number % WORKLOADS).astype("U2"), 2)).astype("S16")
    addresses = [np.void(bytes(10) + b"\xff\xff\x0a\x00" + bytes([peer, 1])) for peer in range(PEERS)]
    rows["remote_address"] = np.array(addresses, dtype["remote_address"])[(number % PEERS).astype(int)]
    rows["local_address"] = np.void(bytes(10) + b"\xff\xff\x0a\x01\x00\x01")
    return rows


class RingFile:
    """A ring as the kernel lays it out (collector/source/ring_buffer.py), in a memory file; `fill` stands for the kernel."""

    def __init__(self, size: int, dtype: np.dtype[np.void]) -> None:
        self.size = size
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, 2 * PAGE + 2 * size)
        self._pages = mmap.mmap(self.descriptor, 2 * PAGE + 2 * size)
        stride = 8 + (dtype.itemsize + 7) // 8 * 8
        self._record = np.dtype({"names": ["length", "row"], "formats": ["<u4", dtype], "offsets": [0, 8], "itemsize": stride})

    def fill(self, rows: Rows) -> None:
        """Puts the rows at the start of an empty ring."""
        content = np.zeros(len(rows), self._record)
        content["length"], content["row"] = rows.dtype.itemsize, rows
        octets = content.tobytes()
        self._pages[2 * PAGE : 2 * PAGE + len(octets)] = octets
        self._pages[:8] = bytes(8)
        self._pages[PAGE : PAGE + 8] = len(octets).to_bytes(8, "little")

    def close(self) -> None:
        self._pages.close()
        os.close(self.descriptor)
