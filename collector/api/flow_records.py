"""One flow as clients see it: what each field means, and how rows of the store become records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from collector.api.moments import write_moments
from collector.api.record_columns import (
    MICROSECONDS,
    NANOSECONDS,
    addresses,
    error_name,
    known,
    named,
    seconds,
    text,
    workload_columns,
)
from collector.batch import Rows
from collector.store.columns import command_text
from collector.store.flow_filter import Names
from collector.store.workload_names import WorkloadNames

PIECE_ROWS = 250


class FlowRecord(BaseModel):
    """One connection or conversation as one of its ends on this node saw it. null: not known."""

    id: int = text("Order of arrival in the agent, unique while it runs.", 1842)
    flow: int = text("The kernel half's number for the flow.", 977)
    protocol: str = text("tcp or udp.", "tcp")
    state: str = text("open, connecting, closed, failed, listening or listen_ended.", "closed")
    role: str = text("What this node's end is: client, server, listener or unknown.", "client")
    outcome: str = text("How it ended; none: still open; unknown: nobody saw the end; idle: fell silent.", "closed")
    error: str | None = text("The socket's error at the end.", "ECONNREFUSED")
    tcp_state: str | None = text("State of the TCP state machine when last read, or before the end.", "established")
    started_at: str | None = text("When it began; null when it is older than the agent.", "2026-11-23T08:00:00.250000Z")
    ended_at: str | None = text("When it ended; null while it is open.", "2026-11-23T08:00:01.500000Z")
    observed_at: str | None = text("When the counters were read, for UDP the last datagram.", "2026-11-23T08:00:01.500000Z")
    duration_seconds: float | None = text("From begin to end, or to observed_at.", 1.25)
    connect_seconds: float | None = text("From SYN to established, or to the failure (clients only).", 0.0004)
    local_workload: str = text("Workload of this node's end.", "cart")
    local_namespace: str = text("Its namespace, '' without one.", "shop")
    local_kind: str = text("Its kind: pod, container, unit, process, service, node, address, name, network or unknown.", "pod")
    local_pod: str | None = text("Name of its pod.", "cart-7d9f")
    local_container: str | None = text("Name of its container.", "server")
    local_pod_uid: str | None = text("UID of its pod.", "0c8b1c5e-52d4-4a70-9e0e-5d6e6a0f7a11")
    local_container_id: str | None = text("Id of its container.", "4f1d" * 16)
    local_address: str | None = text("Its address.", "10.0.0.1")
    local_port: int | None = text("Its port.", 40312)
    process: str | None = text("The kernel's name of its process.", "cart-server")
    pid: int | None = text("Its process id in the root pid namespace.", 4242)
    process_started_at: str | None = text("When that process started.", "2026-11-23T07:00:00.000000Z")
    owner_evidence: str | None = text("How the process was found: connect, descriptor, close, listener, ...", "connect")
    network_namespace: int | None = text("Inode number of its network namespace.", 4026531840)
    peer_workload: str = text("Workload of the other end.", "api.example.org")
    peer_namespace: str = text("Its namespace, '' without one.", "")
    peer_kind: str = text("Its kind.", "name")
    peer_pod: str | None = text("Name of its pod.", None)
    peer_container: str | None = text("Name of its container.", None)
    peer_pod_uid: str | None = text("UID of its pod.", None)
    peer_container_id: str | None = text("Id of its container.", None)
    peer_address: str | None = text("Its address.", "192.0.2.7")
    peer_port: int | None = text("Its port.", 443)
    bytes_sent: int = text("Payload that left this node's end, retransmissions left out.", 1830)
    bytes_received: int = text("Payload that arrived at this node's end.", 90112)
    packets_sent: int = text("TCP segments or UDP datagrams sent.", 12)
    packets_received: int = text("TCP segments or UDP datagrams received.", 70)
    retransmits: int = text("Segments sent again.", 0)
    rtt_seconds: float | None = text("Smoothed round-trip time.", 0.0121)
    minimum_rtt_seconds: float | None = text("Smallest round-trip time.", 0.0118)


FLOW_COLUMNS = tuple(FlowRecord.model_fields)
COUNTERS = ("bytes_sent", "bytes_received", "packets_sent", "packets_received", "retransmits")


def flow_pieces(rows: Rows, tables: Names, names: WorkloadNames) -> Iterator[list[dict[str, Any]]]:
    """Records of FLOW rows, shape (n,), some at a time, in order."""
    for start in range(0, len(rows), PIECE_ROWS):
        yield flow_records(rows[start : start + PIECE_ROWS], tables, names)


def flow_records(rows: Rows, tables: Names, names: WorkloadNames) -> list[dict[str, Any]]:
    """Records of FLOW rows, keys in the order of FLOW_COLUMNS."""
    listening = [tables["event"][code].startswith("listen") for code in rows["event"]]
    peers = addresses(rows["remote_address"], [False] * len(rows))
    columns = {
        "id": rows["sequence"].tolist(),
        "flow": rows["flow"].tolist(),
        **{name: named(rows[column], tables[column]) for name, column in (("protocol", "protocol"), ("state", "event"))},
        **{name: named(rows[name], tables[name]) for name in ("role", "outcome")},
        "error": [error_name(number) for number in rows["error"].tolist()],
        "tcp_state": known(named(rows["state"], tables["state"])),
        **{name: write_moments(rows[name]) for name in ("started_at", "ended_at", "observed_at", "process_started_at")},
        "duration_seconds": seconds(rows["duration"], NANOSECONDS),
        "connect_seconds": seconds(rows["connect_duration"], NANOSECONDS),
        **workload_columns("local", rows["local"], names),
        **workload_columns("peer", rows["peer"], names),
        "local_address": addresses(rows["local_address"], listening),
        "peer_address": [None if alone else text for text, alone in zip(peers, listening, strict=True)],
        "local_port": known(rows["local_port"].tolist()),
        "peer_port": known(rows["remote_port"].tolist()),
        "process": known([command_text(command) for command in rows["command"].tolist()]),
        "pid": known(rows["process"].tolist()),
        "owner_evidence": known(named(rows["owner_evidence"], tables["owner_evidence"])),
        "network_namespace": known(rows["netns"].tolist()),
        **{name: rows[name].tolist() for name in FLOW_COLUMNS if name in COUNTERS},
        "rtt_seconds": seconds(rows["smoothed_rtt"], MICROSECONDS),
        "minimum_rtt_seconds": seconds(rows["minimum_rtt"], MICROSECONDS),
    }
    in_order = [columns[name] for name in FLOW_COLUMNS]
    return [dict(zip(FLOW_COLUMNS, values, strict=True)) for values in zip(*in_order, strict=True)]
