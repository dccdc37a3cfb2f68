"""Rows as the stores hold them, and a feed of them, for tests of the ClickHouse exporter."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from collector.batch import Rows
from collector.export.clickhouse_columns import Origin
from collector.store.flow_rows import FLOW, new_name_tables
from collector.store.requests import REQUEST
from collector.stored_rows import StoredRows
from collector.workload import Workload, WorkloadKind

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
NAMES = {column: table.names for column, table in new_name_tables().items()}
WORDS = {
    "protocol": ["", "_OTHER", "http", "redis"],
    "role": ["", "_OTHER", "client"],
    "transport": ["", "_OTHER", "tcp"],
    "outcome": ["", "_OTHER", "ok"],
    "operation": ["", "GET"],
    "resource": ["", "/users/17", "secret-key-of-redis"],
    "route": ["", "/users/:id"],
    "status": ["", "200"],
    "error_type": [""],
}
WORKLOADS = {
    0: Workload(0, WorkloadKind.UNKNOWN, "unknown"),
    1: Workload(1, WorkloadKind.UNIT, "nginx.service"),
    2: Workload(2, WorkloadKind.POD, "cart", "shop", "uid-of-cart", "4f1d" * 16, facts={"k8s.pod.name": "cart-7d9f"}),
    3: Workload(3, WorkloadKind.NAME, "Käse.example.org"),
}
ORIGIN = Origin("node-1", WORKLOADS.__getitem__, 0xABCD)


def code(column: str, name: str) -> int:
    return NAMES[column].index(name)


def ended_flows(count: int, first: int = 1) -> Rows:
    """Flow n sent n bytes; one a millisecond, from START on."""
    rows = np.zeros(count, FLOW)
    number = np.arange(first, first + count)
    rows["sequence"] = rows["bytes_sent"] = number
    rows["time"] = rows["started_at"] = START + number * 1_000_000
    rows["ended_at"] = rows["observed_at"] = rows["started_at"] + SECOND // 4
    rows["duration"] = SECOND // 4
    rows["local"], rows["peer"] = number % 4, (number + 1) % 4
    rows["local_address"] = (0, 0xFFFF_0A00_0001)
    rows["remote_address"] = (0xFD00 << 48, 7)
    rows["local_port"], rows["remote_port"] = 30000, 443
    rows["command"], rows["process"], rows["smoothed_rtt"] = b"curl", 4242, 1500
    for column, name in (("protocol", "tcp"), ("event", "closed"), ("role", "client"), ("outcome", "closed")):
        rows[column] = code(column, name)
    return rows


def open_flows(count: int, sent: int, first: int = 1) -> Rows:
    """The same before they ended, when each had sent `sent` bytes."""
    rows = ended_flows(count, first)
    rows["ended_at"], rows["bytes_sent"] = 0, sent
    rows["event"], rows["outcome"] = code("event", "open"), code("outcome", "none")
    return rows


def requests(count: int) -> Rows:
    """Every other one asked Redis."""
    rows = np.zeros(count, REQUEST)
    rows["sequence"] = np.arange(1, count + 1)
    rows["time"] = START + rows["sequence"].astype(np.int64)
    rows["duration"], rows["request_body_bytes"], rows["sampled"] = 2_000_000, -1, True
    rows["protocol"], rows["resource"] = 2, 1
    rows["protocol"][1::2], rows["resource"][1::2] = 3, 2
    for column in ("role", "transport", "outcome"):
        rows[column] = 2
    for column in ("operation", "route", "status"):
        rows[column] = 1
    return rows


class MadeFeed:
    """A RowFeed of what a test puts in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: list[Rows] = []
        self.open_now: Rows = np.zeros(0, FLOW)
        self.lost = 0

    def put(self, rows: Rows) -> None:
        with self._lock:
            self._flows.append(rows)

    def take(self, open_flows: bool = False) -> Mapping[str, StoredRows]:
        with self._lock:
            rows = np.concatenate([*self._flows, np.zeros(0, FLOW)])
            self._flows.clear()
            lost, self.lost = self.lost, 0
            found = {"flows": StoredRows(rows, NAMES, lost)}
            if open_flows:
                found["open_flows"] = StoredRows(self.open_now, NAMES)
            return found

    def close(self) -> None:
        return
