"""Who calls whom: flows between the same two workloads as one edge, a connection inside the node counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collector.batch import Column, Rows
from collector.store.columns import gather
from collector.store.ends import find_other_ends
from collector.store.flow_filter import FlowFilter, Names, compile_filter
from collector.store.flow_groups import MICROSECONDS, NANOSECONDS, failed, first_by, group_by_codes, known_or_none, mean, total
from collector.store.flow_rows import FLOW
from collector.store.flows import FlowView
from collector.store.map_nodes import MapNodes
from collector.store.workload_names import WorkloadNames

KEYS = ("client", "server", "protocol", "port", "directed")
SUMS = ("open", "failures", "bytes_to_server", "bytes_to_client", "retransmits")
CALL = np.dtype(
    [
        ("client", "i4"),
        ("server", "i4"),
        ("protocol", "u1"),
        ("port", "u2"),
        ("directed", "?"),
        ("open", "?"),
        ("failures", "?"),
        ("bytes_to_server", "u8"),
        ("bytes_to_client", "u8"),
        ("retransmits", "u8"),
        ("rtt", "u4"),
        ("connect", "u8"),
    ]
)


@dataclass(frozen=True, slots=True)
class Edge:
    """client, server: numbers of workloads that stand for the nodes. directed: False when it is not known which of the two
    opened the connections.

    port: of the server, 0 when not directed. retransmits: by both ends, as far as they are on this node. rtt, connect:
    means in seconds of the connections for which they are known.
    """

    client: int
    server: int
    protocol: str
    port: int
    directed: bool
    connections: int
    open: int
    failures: int
    bytes_to_server: int
    bytes_to_client: int
    retransmits: int
    rtt_seconds: float | None
    connect_seconds: float | None


def draw_map(asked: FlowFilter, limit: int, view: FlowView, names: WorkloadNames, nodes: MapNodes) -> tuple[Sequence[Edge], int]:
    """Edges of connections that fit `asked` at one of the ends seen, the first `limit` by connections; and how many there are."""
    wanted = compile_filter(asked, view.names, names)
    candidate = compile_filter(FlowFilter(since_ns=asked.since_ns, until_ns=asked.until_ns), view.names, names)
    rows = gather(view.parts(), candidate, FLOW.names or (), FLOW)
    other = find_other_ends(rows)
    fitting = wanted(rows)
    kept = (fitting | ((other >= 0) & fitting[other])) & _speaks(rows, other, view.names)
    calls = _calls(rows, other, np.flatnonzero(kept), view.names)
    for side in ("client", "server"):
        calls[side] = nodes.merge(calls[side])
    return _edges(calls, limit, view.names)


def _speaks(rows: Rows, other: Column, tables: Names) -> Column:
    """Mask of the row that speaks for each connection: the client's where there are two."""
    rank = np.zeros(len(tables["role"]), np.int8)
    rank[tables["role"].index("unknown")] = 1
    rank[tables["role"].index("client")] = 2
    mine, theirs = rank[rows["role"]], rank[rows["role"][other]]
    mask: Column = (other < 0) | (mine > theirs) | ((mine == theirs) & (np.arange(len(rows)) < other))
    return mask


def _calls(rows: Rows, other: Column, speakers: Column, tables: Names) -> Rows:
    """CALL rows, shape (n,), one for each of `speakers`, the indices of the rows that speak for a connection."""
    paired, seconds = other[speakers] >= 0, other[speakers]

    def told(name: str) -> Column:
        column: Column = rows[name][speakers]
        return column

    def second(name: str) -> Column:
        """Of the other end; meaningless where there is none."""
        column: Column = rows[name][seconds]
        return column

    server = tables["role"].index("server")
    serves = told("role") == server
    calling = (told("role") == tables["role"].index("client")) | (paired & (second("role") == server))
    far = np.where(paired, second("local"), told("peer"))
    calls = np.zeros(len(speakers), CALL)
    calls["client"] = np.where(serves, far, told("local"))
    calls["server"] = np.where(serves, told("local"), far)
    calls["protocol"] = told("protocol")
    calls["directed"] = serves | calling
    calls["port"] = np.where(serves, told("local_port"), np.where(calling, told("remote_port"), 0))
    calls["open"] = told("ended_at") == 0
    calls["failures"] = failed(told("outcome"), tables) | (paired & failed(second("outcome"), tables))
    calls["bytes_to_server"] = np.where(serves, told("bytes_received"), told("bytes_sent"))
    calls["bytes_to_client"] = np.where(serves, told("bytes_sent"), told("bytes_received"))
    calls["retransmits"] = told("retransmits") + np.where(paired, second("retransmits"), 0)
    calls["rtt"] = told("smoothed_rtt")
    calls["connect"] = told("connect_duration")
    return calls


def _edges(calls: Rows, limit: int, tables: Names) -> tuple[list[Edge], int]:
    if not len(calls):
        return [], 0
    order, starts = group_by_codes([calls[name].astype(np.int64) for name in KEYS])
    calls = calls[order]
    counts = np.diff(starts, append=len(calls))
    chosen = first_by(counts, descending=True, limit=limit)
    heads = [calls[name][starts[chosen]].tolist() for name in KEYS]
    heads[KEYS.index("protocol")] = [tables["protocol"][code] for code in heads[KEYS.index("protocol")]]
    sums = [counts, *(total(calls[name], starts) for name in SUMS)]
    means = [mean(calls["rtt"], starts, MICROSECONDS), mean(calls["connect"], starts, NANOSECONDS)]
    tails = [known_or_none(column[chosen]) for column in (*sums, *means)]
    return [Edge(*each) for each in zip(*heads, *tails, strict=True)], len(starts)
