"""Answers that hold flows, lookups, workloads or processes: what stands around the rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from collector.api.flow_records import FlowRecord
from collector.api.lookup_records import LookupRecord
from collector.api.node_records import ProcessRecord
from collector.api.record_columns import text
from collector.api.workload_records import WorkloadRecord
from collector.store.flow_groups import Group

TOTAL = "How many there are in all pages."
NEXT = "Give this as `cursor` for the next page; null on the last."


class Complete(BaseModel):
    """Whether the answer can be relied on to be all there was."""

    since: str | None = text("Flows that ended before this are forgotten; null while none is.", None)
    overwritten: int = text("Flows forgotten since the start, for want of room.", 0)
    lost: int = text("Events of these protocols that were lost since the start; see /api/v1/probes.", 0)


class FlowsAnswer(BaseModel):
    """One page of flows."""

    total: int = text(TOTAL, 1)
    next_cursor: str | None = text(NEXT, None)
    complete: Complete
    flows: list[FlowRecord]


class GroupRecord(BaseModel):
    """Flows that have something in common. Only the keys asked for with group_by are there."""

    workload: str | None = Field(None, description="Workload of this node's end, namespace/name.", examples=["shop/cart"])
    peer: str | None = Field(None, description="Workload of the other end, namespace/name.", examples=["api.example.org"])
    namespace: str | None = Field(None, description="Namespace of this node's end.", examples=["shop"])
    peer_namespace: str | None = Field(None, description="Namespace of the other end.", examples=[""])
    pod: str | None = Field(None, description="Pod of this node's end.", examples=["shop/cart-7d9f"])
    peer_pod: str | None = Field(None, description="Pod of the other end.", examples=["shop/db-0"])
    container: str | None = Field(None, description="Container of this node's end.", examples=["server"])
    node: str | None = Field(None, description="Node of the cluster of this node's end.", examples=["node-7"])
    process: str | None = Field(None, description="Process of this node's end.", examples=["cart-server"])
    port: str | None = Field(None, description="Port of the end that serves; 0 when not known.", examples=["443"])
    protocol: str | None = Field(None, description="tcp or udp.", examples=["tcp"])
    role: str | None = Field(None, description="What this node's end is.", examples=["client"])
    state: str | None = Field(None, description="State of the flows.", examples=["closed"])
    outcome: str | None = Field(None, description="How they ended.", examples=["closed"])
    flows: int = text("How many. A connection inside the node is two flows, one for each end.", 31)
    open: int = text("Of these open now.", 2)
    failures: int = text("Of these refused, reset, timed out, aborted, ...", 0)
    bytes_sent: int = text("Sum.", 81920)
    bytes_received: int = text("Sum.", 1048576)
    packets_sent: int = text("Sum.", 300)
    packets_received: int = text("Sum.", 700)
    retransmits: int = text("Sum.", 1)
    rtt_seconds: float | None = text("Mean of the known ones.", 0.0004)
    connect_seconds: float | None = text("Mean of the known ones.", 0.0006)


class GroupsAnswer(BaseModel):
    """Flows summed up, instead of the flows themselves."""

    total: int = text("How many groups there are.", 1)
    next_cursor: None = text("Always null: groups come in one page.", None)
    complete: Complete
    groups: list[GroupRecord]


class LookupsAnswer(BaseModel):
    """One page of name lookups, newest first."""

    total: int = text(TOTAL, 1)
    next_cursor: str | None = text(NEXT, None)
    complete: Complete
    lookups: list[LookupRecord]


class WorkloadsAnswer(BaseModel):
    """Workloads by number, which is the order in which they were first seen."""

    total: int = text("How many fit, also beyond `limit`.", 1)
    workloads: list[WorkloadRecord]


class ProcessesAnswer(BaseModel):
    """Processes, the youngest first."""

    total: int = text("How many fit, also beyond `limit`.", 1)
    processes: list[ProcessRecord]


def group_record(group: Group) -> dict[str, Any]:
    """The record of one group, keys first."""
    sums = asdict(group)
    return {**sums.pop("keys"), **sums}
