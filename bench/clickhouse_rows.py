"""What a row costs on its way to ClickHouse: CPU of the agent and bytes on the wire, by format; with --url also a server's part.

    .venv/bin/python bench/clickhouse_rows.py [--rows 20000] [--url http://127.0.0.1:8123/ --user U --password P --server-pid N]

Rows are made with the entropy of a busy node: 30 local pods, 300 peers, ports and byte counts at random.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from collector.api.flow_records import flow_records
from collector.api.request_records import request_records
from collector.batch import Rows
from collector.export.clickhouse import ClickHouseExporter
from collector.export.clickhouse_columns import Origin, encode_rows
from collector.export.clickhouse_settings import ClickHouseSettings
from collector.export.clickhouse_tables import TABLES, create_statement, insert_statement, types_of
from collector.store.flow_rows import FLOW, new_name_tables
from collector.store.requests import ENUMS, REQUEST
from collector.store.workload_names import WorkloadNames
from collector.stored_rows import StoredRows
from collector.workload import Workload, WorkloadKind

PODS, PEERS, SECOND = 30, 300, 1_000_000_000
REPEATS = 5


def made_workloads() -> dict[int, Workload]:
    random = np.random.default_rng(1)
    ids = [random.bytes(32).hex() for _ in range(PODS + PEERS + 1)]
    return {
        number: Workload(
            number, WorkloadKind.POD, f"service-{number:03}-7d9f5c6b8-x{number:04}", f"team-{number % 12}", one[:36], one
        )
        for number, one in enumerate(ids)
    }


def made_ends(rows: Rows, random: np.random.Generator) -> None:
    count = len(rows)
    rows["sequence"] = np.arange(1, count + 1)
    rows["time"] = time.time_ns() - random.integers(0, 10 * SECOND, count)
    rows["local"], rows["peer"] = random.integers(1, PODS, count), PODS + random.zipf(1.3, count) % PEERS
    rows["local_address"] = np.stack([np.zeros(count, "u8"), 0xFFFF_0A01_0000 + rows["local"].astype("u8")], axis=1)
    rows["remote_address"] = np.stack([np.zeros(count, "u8"), 0xFFFF_0A02_0000 + rows["peer"].astype("u8")], axis=1)
    rows["local_port"], rows["remote_port"] = random.integers(30000, 60000, count), random.choice([80, 443, 5432, 6379], count)
    rows["process"], rows["command"] = 1000 + rows["local"], np.char.add(b"server-", (rows["local"] % 9).astype("S2"))
    rows["netns"], rows["flow"] = 4026531840 + rows["local"].astype("u4"), random.integers(1, 1 << 40, count)
    rows["duration"] = random.lognormal(16, 2, count)


def made_flows(count: int) -> StoredRows:
    random, rows = np.random.default_rng(2), np.zeros(count, FLOW)
    made_ends(rows, random)
    rows["started_at"], rows["ended_at"] = rows["time"], rows["time"] + rows["duration"].astype(np.int64)
    rows["observed_at"] = rows["ended_at"]
    for name in ("bytes_sent", "bytes_received"):
        rows[name] = random.lognormal(8, 2, count)
        rows[name.replace("bytes", "packets")] = 1 + rows[name] // 1400
    rows["smoothed_rtt"], rows["minimum_rtt"] = random.integers(100, 3000, count), random.integers(50, 500, count)
    tables = new_name_tables()
    for column, names in (("protocol", ("tcp",)), ("event", ("closed",)), ("role", ("client", "server"))):
        rows[column] = random.choice([tables[column].code(name) for name in names], count)
    rows["outcome"] = tables["outcome"].code("closed")
    return StoredRows(rows, {name: table.names for name, table in tables.items()})


def made_requests(count: int) -> StoredRows:
    random, rows = np.random.default_rng(3), np.zeros(count, REQUEST)
    made_ends(rows, random)
    rows["first_byte"], rows["request_bytes"] = rows["duration"] // 2, random.integers(200, 900, count)
    rows["response_bytes"] = rows["response_body_bytes"] = random.lognormal(7, 1, count)
    words: dict[str, Any] = {name: ["", "_OTHER", *known] for name, known in ENUMS.items()}
    words |= {"operation": ["", "GET", "POST"], "status": ["", "200", "404", "500"], "error_type": ["", "404", "500"]}
    words |= {"route": [f"/api/v1/items/{n}/:id" for n in range(60)], "resource": [f"/api/v1/items/1/{n}" for n in range(5000)]}
    for name in ("operation", "status", "route", "resource", "error_type"):
        rows[name] = random.integers(0, len(words[name]), count)
    rows["protocol"], rows["role"], rows["outcome"], rows["transport"], rows["server_port"] = 3, 4, 2, 2, 8080
    rows["role"] = random.integers(3, 5, count)
    return StoredRows(rows, words)


def measured(work: Callable[[], bytes]) -> tuple[float, bytes]:
    """CPU seconds of the quickest run, and what came out."""
    best, made = float("inf"), b""
    for _ in range(REPEATS):
        started = time.process_time()
        made = work()
        best = min(best, time.process_time() - started)
    return best, made


def report(name: str, table: str, count: int, work: Callable[[], bytes]) -> None:
    encoding, plain = measured(work)
    packing, packed = measured(lambda: gzip.compress(plain, 1, mtime=0))
    print(
        f"{table:9} {name:12} encode {encoding / count * 1e6:6.2f} us/row  gzip {packing / count * 1e6:5.2f} us/row  "
        f"{len(plain) / count:6.1f} -> {len(packed) / count:5.1f} B/row"
    )


def as_json(records: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, records)).encode()


def compare_formats(count: int, origin: Origin, version: tuple[int, ...]) -> dict[str, bytes]:
    names = WorkloadNames(made_workloads().values())
    flows, requests = made_flows(count), made_requests(count)
    bodies = {}
    for table, stored in (("flows", flows), ("requests", requests)):
        encode = lambda table=table, stored=stored: encode_rows(TABLES[table], stored, origin, 1, types_of(version))  # noqa: E731
        report("Native", table, count, encode)
        bodies[table] = gzip.compress(encode(), 1)
    report("JSONEachRow", "flows", count, lambda: as_json(flow_records(flows.rows, flows.names, names)))
    report("JSONEachRow", "requests", count, lambda: as_json(request_records(requests.rows, requests.names, names)))
    return bodies


def cpu_seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(bodies: dict[str, bytes], count: int, version: tuple[int, ...], arguments: argparse.Namespace) -> None:
    """Each batch many times into tables of their own, which are dropped afterwards."""
    headers = {"X-ClickHouse-User": arguments.user, "X-ClickHouse-Key": arguments.password}
    with httpx.Client(base_url=arguments.url, headers=headers, timeout=60) as client:

        def ask(statement: str, body: bytes = b"") -> str:
            encoding = {"Content-Encoding": "gzip"} if body else {}
            answer = client.post("/", params={"query": statement}, content=body, headers=encoding)
            answer.raise_for_status()
            return answer.text.strip()

        for name, body in bodies.items():
            full = f"default.bench_{name}"
            ask(f"DROP TABLE IF EXISTS {full}")
            ask(create_statement(TABLES[name], full, version, 3650))
            started, before = time.monotonic(), cpu_seconds_of(arguments.server_pid)
            for _ in range(arguments.inserts):
                ask(insert_statement(TABLES[name], full), body)
            seconds, cpu = time.monotonic() - started, cpu_seconds_of(arguments.server_pid) - before
            rows = count * arguments.inserts
            ask(f"OPTIMIZE TABLE {full} FINAL")
            disk = ask(f"SELECT sum(bytes) FROM system.parts WHERE active AND table = 'bench_{name}'")
            print(
                f"{name:9} {rows} rows: {rows / seconds:,.0f} rows/s, server {cpu / rows * 1e6:.2f} us CPU/row, "
                f"{int(disk) / rows:.1f} B/row on disk, {seconds / arguments.inserts * 1000:.0f} ms an insert of {count}"
            )
            ask(f"DROP TABLE {full}")


class Feed:
    """Hands out the same rows again and again, as if they had just come."""

    def __init__(self, stored: dict[str, StoredRows], times: int) -> None:
        self._stored, self._left = stored, times

    def take(self, open_flows: bool = False) -> dict[str, StoredRows]:
        self._left -= 1
        return self._stored if self._left >= 0 else {}

    def close(self) -> None:
        return


def export(arguments: argparse.Namespace, origin: Origin) -> None:
    """The whole exporter, from the stores' rows to the server's answer: CPU of this process, both threads."""
    settings = ClickHouseSettings(
        arguments.url, prefix="bench_", user=arguments.user, password=arguments.password, seconds=1, rows=arguments.rows
    )
    stored = {"flows": made_flows(arguments.rows), "requests": made_requests(arguments.rows)}
    exporter = ClickHouseExporter(settings, origin, Feed(stored, arguments.inserts))
    total = 2 * arguments.rows * arguments.inserts
    started = time.process_time()
    exporter.start()
    while sum(exporter.status().delivered.values()) < total:
        time.sleep(0.1)
    cpu = time.process_time() - started
    exporter.close(5)
    print(f"exporter  {total} rows, {exporter.status().inserts} inserts: {cpu / total * 1e6:.2f} us CPU/row, all of it")
    for name in stored:
        httpx.post(
            arguments.url,
            content=f"DROP TABLE default.bench_{name}",
            headers={"X-ClickHouse-User": arguments.user, "X-ClickHouse-Key": arguments.password},
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--inserts", type=int, default=20)
    parser.add_argument("--url", default="")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    parser.add_argument("--server-pid", type=int, default=0)
    arguments = parser.parse_args()
    version = (18, 16) if arguments.url else (25, 3)
    workloads = made_workloads()
    bodies = compare_formats(arguments.rows, Origin("node-1", workloads.__getitem__, 1), version)
    if arguments.url:
        send(bodies, arguments.rows, version, arguments)
        export(arguments, Origin("node-1", workloads.__getitem__, 1))


if __name__ == "__main__":
    main()
