"""MiB of tables that `full_tables.py` and `full_series.py` leave empty, each full, by what Python allocated. See README.md."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np

from collector.enrich.cgroup_table import CgroupTable
from collector.enrich.connection_ends import STILL_OPEN, ConnectionEnds
from collector.enrich.names import NameTable
from collector.enrich.process_table import ProcessFact, ProcessTable
from collector.enrich.translations import VIEW
from collector.enrich.workload_table import Naming, WorkloadKey, WorkloadTable
from collector.export.retired_series import RetiredSeries
from collector.instruments import DURATION_BUCKETS, HistogramValue, Instrument, InstrumentKind, Point
from collector.settings import Settings
from collector.store.flow_rows import FLOW
from collector.store.live_flows import LiveFlows
from collector.workload import Workload, WorkloadKind

SETTINGS = Settings()
PATH = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{0:032x}.slice/cri-containerd-{0:064x}.scope"
HISTOGRAM = Instrument("http.server.request.duration", InstrumentKind.HISTOGRAM, "s", "Requests.", DURATION_BUCKETS)


def names_of_addresses() -> object:
    table = NameTable()
    for number in range(65_536):
        table.learn(bytes(12) + number.to_bytes(4), f"name-{number}.region-1.example.com", number, 60)
    return table


def processes() -> object:
    table = ProcessTable(SETTINGS.max_processes)
    for number in range(SETTINGS.max_processes + 4096):
        started = 10**12 + number
        fact = (
            "execed",
            started,
            started,
            4000 + number,
            number,
            1,
            1,
            0,
            4026531840,
            0,
            "",
            "",
            f"worker-{number % 500}",
            "/usr/bin/w",
        )
        table._take(ProcessFact._make(fact))
        if number < 4096:
            table._take(ProcessFact._make(("exited", *fact[1:9], 0, "exited", "", *fact[12:])))
    return table


def pods_as_workloads() -> object:
    table = WorkloadTable(SETTINGS.max_workloads)
    table.describe = lambda key, _: Naming(f"job-of-{key.pod_uid}", "shop", facts_of(key.pod_uid))
    for number in range(SETTINGS.max_workloads):
        key = WorkloadKey(WorkloadKind.POD, f"{number:036x}", "", f"{number:036x}", f"{number:064x}")
        table.number_of(key, PATH.format(number))
    return table


def facts_of(uid: str) -> dict[str, str]:
    names = ("pod.name", "namespace.name", "container.name", "job.name", "node.name")
    return {f"k8s.{name}": f"{name}-of-{uid[-8:]}" for name in names}


def cgroups() -> object:
    table = CgroupTable()
    for number in range(32_768):
        table.learn(number + 2, PATH.format(number))
    return table


def open_flows() -> object:
    """A snapshot, and the one before it."""
    live = LiveFlows(SETTINGS.max_connections)
    rows = np.zeros(SETTINGS.max_connections, FLOW)
    rows["flow"] = np.arange(1, len(rows) + 1)
    live.replace(rows)
    return live, rows


def ends_of_connections() -> object:
    """Two tables of that kind."""
    made = [ConnectionEnds(131_072, 10**12) for _ in range(2)]
    for table in made:
        keys = np.arange(1, 131_073, dtype=np.uint64)
        zeros = np.zeros(len(keys), np.uint64)
        table.add(keys, zeros.astype(np.uint32), np.ones(len(keys), np.int32), (zeros, zeros + STILL_OPEN), 1)
    return made


def translated_connections() -> object:
    return np.ones(131_072, VIEW), np.ones(131_072, np.uint64), np.ones(131_072, np.int32)


def series_of_gone_pods() -> object:
    """A fifth of them histograms."""
    counter = Instrument("tcp.io", InstrumentKind.COUNTER, "By", "Bytes.")
    retired = RetiredSeries()
    for number in range(retired.maximum // 10):
        uid = f"{number:036x}"
        owner = Workload(
            number, WorkloadKind.POD, f"job-{number}", "shop", uid, f"{number:064x}", PATH.format(number), facts_of(uid)
        )
        value = HistogramValue([1000 + bucket for bucket in range(20)], 1.0, 20_000)
        points = []
        for place in range(10):
            attributes = {"http.request.method": "GET", "http.route": f"/items/{place}", "service.peer.name": f"peer-{place}"}
            points.append((HISTOGRAM if place < 2 else counter, Point(owner, attributes, value if place < 2 else 5.0, 1.0)))
        retired.take(points)
    return retired


TABLES: tuple[Callable[[], object], ...] = (
    names_of_addresses, processes, pods_as_workloads, cgroups, open_flows, ends_of_connections, translated_connections,
    series_of_gone_pods,
)  # fmt: skip


def main() -> int:
    tracemalloc.start()
    for make in TABLES:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        kept = make()
        gc.collect()
        print(f"{make.__name__.replace('_', ' '):24} {(tracemalloc.get_traced_memory()[0] - before) / 2**20:6.1f} MiB")
        del kept
    return 0


if __name__ == "__main__":
    sys.exit(main())
