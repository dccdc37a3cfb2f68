"""An agent without a kernel: real stores, fed by the test, behind the real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from store.flow_batches import OFFSET_NS, SECOND, WORKLOADS

from collector.accounts import Book
from collector.api.view import Health, HealthState, ProcessInfo
from collector.clock import FixedClock
from collector.cluster_status import WatchState, WatchStatus
from collector.cluster_view import AddressInfo, PodInfo
from collector.enrich.address_timeline import Place
from collector.enrich.cluster import Cluster
from collector.enrich.cluster_report import report_address, report_pods
from collector.enrich.names import NameTable
from collector.enrich.networks import NetworkTable
from collector.enrich.workload_table import WorkloadTable
from collector.probe_status import HookStatus, ProbeState, ProbeStatus, ProgramCost
from collector.store.flows import FlowStore
from collector.store.lookups import LookupStore
from collector.store.requests import RequestStore
from collector.workload import Workload, WorkloadKind

TOKEN = "a-token-of-the-test"
NOW_SECOND = 20_000  # on the boot clock


@dataclass
class Identities:
    known: list[Workload] = field(default_factory=lambda: list(WORKLOADS))

    def workload(self, number: int) -> Workload:
        return next((w for w in self.known if w.number == number), Workload(number, WorkloadKind.UNKNOWN, "forgotten"))

    def workloads(self) -> list[Workload]:
        return list(self.known)


@dataclass
class RecordedAgent:
    """What AgentView asks for, from plain values."""

    version: str = "0.0.test"
    started_at: int = OFFSET_NS
    lock: threading.RLock = field(default_factory=threading.RLock)
    clock: FixedClock = field(default_factory=lambda: FixedClock(OFFSET_NS, NOW_SECOND * SECOND))
    flows: FlowStore = field(default_factory=FlowStore)
    lookups: LookupStore = field(default_factory=LookupStore)
    requests: RequestStore = field(default_factory=RequestStore)
    identities: Identities = field(default_factory=Identities)
    cluster: Cluster = field(default_factory=lambda: Cluster(FixedClock(OFFSET_NS), WorkloadTable()))
    state: HealthState = HealthState.OK
    metrics: bool = True

    def processes(self) -> Sequence[ProcessInfo]:
        return [
            ProcessInfo(1, 0, "init", "/sbin/init", 0, OFFSET_NS, 0, "running", 0, "", 0),
            ProcessInfo(42, 1, "nginx", "/usr/sbin/nginx", 33, OFFSET_NS + SECOND, 0, "running", 0, "none", 1),
            ProcessInfo(43, 42, "=cmd|x!A1", "", 33, OFFSET_NS + 2 * SECOND, OFFSET_NS + 3 * SECOND, "killed", 0, "sigkill", 2),
        ]

    def pods(self, wanted: Callable[[str, str, str, str], bool]) -> Iterator[PodInfo]:
        known = self.cluster.pods.all()
        return report_pods(self.cluster, known, OFFSET_NS, wanted)

    def resolve_address(self, address: bytes, protocol: str, port: int, at_ns: int) -> AddressInfo:
        place = Place(address, protocol, port)
        return report_address(self.cluster, place, at_ns - OFFSET_NS, OFFSET_NS, NameTable(), NetworkTable())

    def statuses(self) -> Sequence[ProbeStatus]:
        hook = HookStatus("state changes", "state_change", "tp_btf/inet_sock_set_state")
        cost = ProgramCost("state_change", 2_500_000_000, 1000)
        refused = ProbeStatus("udp", "Who?", ProbeState.REFUSED, cause="no cgroup", remedy="mount it")
        return [
            ProbeStatus(
                "tcp",
                "Which connections?",
                ProbeState.RUNNING,
                (hook,),
                costs=(cost,),
                notes=("3 processes are not ours to look at",),
                libraries={"/usr/lib/libssl.so.3": 1, "/opt/lib\x1b[31m.so": 12},
            ),
            refused,
        ]

    def books(self) -> Sequence[Book]:
        return [Book("tcp", "state_changes", 10, 6, 3, 0, {"ring_full": 1}, delivered=True, decoded=6)]

    def watches(self) -> Sequence[WatchStatus]:
        refused = WatchStatus("nodes", WatchState.REFUSED, cause="403", remedy="Allow it.")
        return [WatchStatus("pods", WatchState.SYNCED, 34, heard_at=3.0), refused]

    def health(self) -> Health:
        return Health(self.state, () if self.state is HealthState.OK else ("something is lost",))

    def render_metrics(self, accept: str) -> tuple[Iterator[bytes], str] | None:
        return (iter((b"# ", b"EOF\n")), "application/openmetrics-text") if self.metrics else None
