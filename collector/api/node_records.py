"""Processes, probes, health and the map as clients see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from collector.accounts import Book
from collector.api.moments import write_moment
from collector.api.record_columns import NANOSECONDS, text
from collector.api.view import Health, ProcessInfo
from collector.cluster_status import WatchStatus
from collector.probe_status import ProbeStatus
from collector.store.map_nodes import MapNodes
from collector.store.request_edges import EdgeKey, EdgeRequests
from collector.store.service_map import Edge
from collector.store.workload_names import WorkloadNames, label

Requests = Mapping[EdgeKey, Sequence[EdgeRequests]]


class ProcessRecord(BaseModel):
    """One process of this node, running or ended lately."""

    pid: int = text("Process id in the root pid namespace.", 4242)
    parent: int = text("Process id of its parent.", 1)
    command: str = text("The kernel's name for it, 15 letters at most.", "cart-server")
    executable: str = text("Path of its file, '' when not known.", "/usr/bin/cart-server")
    user: int = text("Real user id.", 1000)
    workload: str = text("Its workload, namespace/name.", "shop/cart")
    kind: str = text("The workload's kind.", "pod")
    started_at: str | None = text("When it started.", "2026-11-23T08:00:00.250000Z")
    ended_at: str | None = text("When it ended; null while it runs.", None)
    lifetime_seconds: float | None = text("How long it lived; null while it runs.", None)
    outcome: str = text("running, succeeded, failed, killed, oom_killed or '' when nobody saw its end.", "running")
    exit_status: int | None = text("Its exit status; null while it runs.", None)
    signal: str | None = text("The signal that ended it.", "sigkill")


NO_SIGNAL = ("", "none")
PROCESS_COLUMNS = tuple(ProcessRecord.model_fields)


def process_record(process: ProcessInfo, names: WorkloadNames) -> dict[str, Any]:
    """The record of one process."""
    workload = names.get(process.workload)
    lived = (process.ended_at - process.started_at) / NANOSECONDS if process.ended_at and process.started_at else None
    values = (
        process.pid, process.parent, process.command, process.executable, process.user,
        label(workload), workload.kind.value,
        write_moment(process.started_at), write_moment(process.ended_at), lived, process.outcome,
        process.exit_status if process.ended_at else None, process.signal if process.signal not in NO_SIGNAL else None,
    )  # fmt: skip
    return dict(zip(PROCESS_COLUMNS, values, strict=True))


class HookRecord(BaseModel):
    """One hook in use."""

    purpose: str = text("What it is for.", "state changes of every TCP socket")
    program: str = text("The C function attached.", "state_change")
    section: str = text("How it is attached.", "tp_btf/inet_sock_set_state")


class CostRecord(BaseModel):
    """What one program cost since it was loaded; zero unless statistics are switched on."""

    program: str = text("The C function.", "state_change")
    run_time_seconds: float = text("Time it ran.", 0.0021)
    runs: int = text("How often it ran.", 1200)


class BookRecord(BaseModel):
    """What one account saw and what became of it: seen = emitted + filtered + sampled + dropped, at rest."""

    account: str = text("Which hook or ring.", "state_changes")
    seen: int = text("Events the kernel half saw.", 1200)
    emitted: int = text("Of these handed to user space or counted in a map.", 400)
    filtered: int = text("Of these of no interest.", 800)
    sampled: int = text("Of these left out by sampling.", 0)
    dropped: dict[str, int] = text("Of these lost, by reason.", {"ring_full": 0, "map_full": 0, "unreadable": 0})
    decoded: int = text("Records that user space took (rings only).", 400)
    undecodable: int = text("Records that user space could not read.", 0)
    missed: int = text("Runs that the kernel skipped; not part of seen.", 0)
    lost: int = text("All that was lost, for whatever reason.", 0)
    balanced: bool = text("Whether the columns add up; may be false for an instant while events come.", True)


class LibraryRecord(BaseModel):
    """One library whose functions are hooked."""

    path: str = text("Where it lies, as the processes that use it see it.", "/usr/lib/x86_64-linux-gnu/libssl.so.3")
    processes: int = text("How many processes use it now.", 12)


class ProbeRecord(BaseModel):
    """One probe: what it answers, whether it runs, how, what it saw and what it costs."""

    probe: str = text("Its name.", "tcp")
    question: str = text("What it answers.", "Which connections are opened and accepted, by whom?")
    state: str = text("running, refused, disabled, stopped (over its budget) or replayed.", "running")
    cause: str | None = text("Why it does not run.", None)
    remedy: str | None = text("What to do about it.", None)
    hooks: list[HookRecord] = text("Hooks in use.", [])
    books: list[BookRecord] = text("Its accounts.", [])
    costs: list[CostRecord] = text("Run time by program.", [])
    notes: list[str] = text("What it cannot see just now, and why.", [])
    libraries: list[LibraryRecord] = text("Libraries whose functions it has hooked.", [])
    folder: str | None = text("Where it came from.", None)


class ProbesAnswer(BaseModel):
    """All probes."""

    probes: list[ProbeRecord] = text("Running ones and those that cannot run.", [])


def probe_records(statuses: Iterable[ProbeStatus], books: Sequence[Book]) -> list[dict[str, Any]]:
    """The records of all probes."""
    return [
        {
            "probe": status.probe,
            "question": status.question,
            "state": status.state.value,
            "cause": status.cause or None,
            "remedy": status.remedy or None,
            "hooks": [asdict(hook) for hook in status.hooks],
            "books": [_book_record(book) for book in books if book.probe == status.probe],
            "costs": [
                {"program": cost.program, "run_time_seconds": cost.run_time_ns / NANOSECONDS, "runs": cost.runs}
                for cost in status.costs
            ],
            "notes": list(status.notes),
            "libraries": [{"path": path, "processes": count} for path, count in status.libraries.items()],
            "folder": status.folder or None,
        }
        for status in statuses
    ]


def _book_record(book: Book) -> dict[str, Any]:
    columns = ("account", "seen", "emitted", "filtered", "sampled", "decoded", "undecodable", "missed", "lost", "balanced")
    return {**{name: getattr(book, name) for name in columns}, "dropped": dict(book.dropped)}


class WatchRecord(BaseModel):
    """The watch over one kind of object of the cluster."""

    resource: str = text("pods, services, endpointslices, nodes; replicasets and jobs are asked once each.", "pods")
    state: str = text("starting, synced, retrying or refused.", "synced")
    objects: int = text("How many are known.", 34)
    heard_at: str | None = text("When the API server said something last.", "2026-11-23T07:59:31.000000Z")
    cause: str = text("Why it does not go well; empty when it does.", "")
    remedy: str = text("What to do.", "")


class HealthAnswer(BaseModel):
    """How the agent is."""

    state: str = text("starting, ok or degraded.", "ok")
    reasons: list[str] = text("Why it is degraded, in sentences.", [])
    version: str = text("Of honeyguide.", "0.1.0")
    started_at: str | None = text("When the agent started.", "2026-11-23T07:59:58.000000Z")
    time: str | None = text("Now, on the clock of the data.", "2026-11-23T08:00:00.000000Z")
    probes: dict[str, int] = text("How many probes are in which state.", {"running": 5})
    flows: dict[str, Any] = text(
        "How full the store of flows is, and what it had to leave out.", {"live": {"tcp": 12}, "history": 40}
    )
    lookups: int = text("Name lookups kept.", 7)
    requests: int = text("Requests kept.", 310)
    lost: int = text("Events lost since the start, all probes together.", 0)
    kubernetes: list[WatchRecord] = text("How the watches over the cluster go; empty without Kubernetes.", [])


def watch_record(watch: WatchStatus) -> dict[str, Any]:
    """The record of one watch."""
    return {
        "resource": watch.resource,
        "state": watch.state.value,
        "objects": watch.objects,
        "heard_at": write_moment(int(watch.heard_at * 1e9)) if watch.heard_at else None,
        "cause": watch.cause,
        "remedy": watch.remedy,
    }


def health_record(
    health: Health, statuses: Sequence[ProbeStatus], books: Sequence[Book], more: Mapping[str, Any]
) -> dict[str, Any]:
    """The record of the agent's health; more: version, started_at, time, flows, lookups, requests, kubernetes."""
    states = [status.state.value for status in statuses]
    return {
        "state": health.state.value,
        "reasons": list(health.reasons),
        **more,
        "probes": {state: states.count(state) for state in dict.fromkeys(states)},
        "lost": sum(book.lost for book in books),
    }


class NodeRecord(BaseModel):
    """A node of the map: a workload, a pod or a namespace."""

    id: int = text("Its number; edges refer to it.", 17)
    name: str = text("Its name.", "cart")
    namespace: str = text("Its namespace.", "shop")
    kind: str = text("Its kind; namespace where the map is drawn by namespace.", "pod")
    connections_out: int = text("Connections it opened, on the edges shown.", 12)
    connections_in: int = text("Connections it accepted, on the edges shown.", 3)
    failures: int = text("Failed connections at it, on the edges shown.", 0)


class EdgeRequestsRecord(BaseModel):
    """Requests of one protocol on an edge; a request whose two ends are on this node counts once."""

    protocol: str = text("http, grpc, postgresql, mysql, redis, ...", "http")
    requests: int = text("How many.", 310)
    errors: int = text("Of these failed.", 3)
    p50_seconds: float | None = text("Half of those answered took no longer.", 0.0031)
    p99_seconds: float | None = text("99 % took no longer.", 0.021)


class EdgeRecord(BaseModel):
    """Connections from one workload to another. A connection whose two ends are on this node counts once."""

    client: int = text("Node that opened the connections.", 17)
    server: int = text("Node that accepted them.", 21)
    protocol: str = text("tcp or udp.", "tcp")
    port: int | None = text("The server's port.", 5432)
    directed: bool = text("False when it is not known which of the two opened them; then client is this node's end.", True)
    connections: int = text("How many, failed ones included.", 12)
    open: int = text("Of these open now.", 2)
    failures: int = text("Of these refused, reset, timed out, aborted, ...", 0)
    bytes_to_server: int = text("Payload, over the whole life of the connections.", 81920)
    bytes_to_client: int = text("Payload, over the whole life of the connections.", 1048576)
    retransmits: int = text("Segments sent again, by the ends on this node.", 1)
    rtt_seconds: float | None = text("Mean round-trip time.", 0.0004)
    connect_seconds: float | None = text("Mean time to connect.", 0.0006)
    requests: list[EdgeRequestsRecord] = text(
        "Requests between the two on that port in the range, by protocol; whatever else the question was about.",
        [{"protocol": "http", "requests": 310, "errors": 3, "p50_seconds": 0.0031, "p99_seconds": 0.021}],
    )


class MapAnswer(BaseModel):
    """Who calls whom. Over `since`..`until` a connection is on the map if it existed at some time between them."""

    edges_total: int = text("How many edges there are; those with the most connections are shown.", 1)
    nodes: list[NodeRecord] = text("Workloads on the edges shown.", [])
    edges: list[EdgeRecord] = text("Who calls whom.", [])


def map_record(edges: Sequence[Edge], total: int, requests: Requests, named: MapNodes) -> dict[str, Any]:
    """The record of the map; requests: of all edges."""
    nodes: dict[int, dict[str, Any]] = {}
    for edge in edges:
        for number, direction in ((edge.client, "connections_out"), (edge.server, "connections_in")):
            node = nodes.setdefault(number, _node_record(number, named))
            node[direction] += edge.connections
        for number in {edge.client, edge.server}:
            nodes[number]["failures"] += edge.failures
    edge_records = [_edge_record(edge, requests) for edge in edges]
    return {"edges_total": total, "nodes": list(nodes.values()), "edges": edge_records}


def _edge_record(edge: Edge, requests: Requests) -> dict[str, Any]:
    """A connection of unknown direction has no port, and no requests that could be told to be its own."""
    found = requests.get((edge.client, edge.server, edge.port), ()) if edge.directed and edge.protocol == "tcp" else ()
    return {**asdict(edge), "port": edge.port or None, "requests": [asdict(one) for one in found]}


def _node_record(number: int, named: MapNodes) -> dict[str, Any]:
    return {"id": number, **asdict(named.node(number)), "connections_out": 0, "connections_in": 0, "failures": 0}
