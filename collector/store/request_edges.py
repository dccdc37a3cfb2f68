"""What goes over the edges of the service map: requests from one workload to another, each counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collector.batch import Column, Rows
from collector.store.columns import gather
from collector.store.flow_groups import group_by_codes, known_or_none, total
from collector.store.map_nodes import MapNodes
from collector.store.request_filter import RequestFilter, codes_of, compile_request_filter, failed_requests
from collector.store.request_groups import percentiles
from collector.store.requests import REQUEST, RequestView, Words
from collector.store.workload_names import WorkloadNames

COLUMNS = ("local", "peer", "server_port", "protocol", "role", "transport", "outcome", "error_type", "duration")
EdgeKey = tuple[int, int, int]  # numbers of client and server, port of the server


@dataclass(frozen=True, slots=True)
class EdgeRequests:
    """Requests of one protocol on one edge. errors: as the end saw it that they are counted at. Percentiles in seconds."""

    protocol: str
    requests: int
    errors: int
    p50_seconds: float | None
    p99_seconds: float | None


def requests_of_edges(
    since_ns: int | None, until_ns: int | None, view: RequestView, names: WorkloadNames, nodes: MapNodes
) -> Mapping[EdgeKey, Sequence[EdgeRequests]]:
    """All requests over TCP in that range, by edge; the busiest protocol of an edge comes first.

    Those between two workloads of this node may be seen at both ends: they are counted at the end that saw more of them,
    because the other could not be read, or not from the start; at the client's when both saw the same.
    """
    asked = RequestFilter(since_ns=since_ns, until_ns=until_ns)
    rows = gather(view.history, compile_request_filter(asked, view.words, names), COLUMNS, REQUEST)
    clients = np.isin(rows["role"], codes_of(view.words["role"], ("client",)))
    servers = np.isin(rows["role"], codes_of(view.words["role"], ("server",)))
    kept = (clients | servers) & np.isin(rows["transport"], codes_of(view.words["transport"], ("tcp",)))
    rows, clients = rows[kept], clients[kept]
    for side in ("local", "peer"):
        rows[side] = nodes.merge(rows[side])
    return _by_edge(rows, clients, view.words) if len(rows) else {}


def _by_edge(rows: Rows, clients: Column, words: Words) -> dict[EdgeKey, list[EdgeRequests]]:
    client = np.where(clients, rows["local"], rows["peer"]).astype(np.int64)
    server = np.where(clients, rows["peer"], rows["local"]).astype(np.int64)
    codes = [client, server, rows["server_port"].astype(np.int64), rows["protocol"].astype(np.int64), clients.astype(np.int64)]
    together, starts = group_by_codes(codes)
    keys = np.stack([column[together[starts]] for column in codes], axis=1)
    counts = np.diff(starts, append=len(rows))
    errors = total(failed_requests(rows, words)[together], starts)
    times = percentiles(rows["duration"][together], starts)
    columns = [counts.tolist(), errors.tolist(), *(known_or_none(times[name]) for name in ("p50_seconds", "p99_seconds"))]
    found: dict[EdgeKey, list[EdgeRequests]] = {}
    taken = set()
    for group in np.lexsort((keys[:, 4], counts))[::-1].tolist():
        key = tuple(keys[group, :4].tolist())
        if key not in taken:
            taken.add(key)
            one = EdgeRequests(words["protocol"][key[3]], *(column[group] for column in columns))
            found.setdefault((key[0], key[1], key[2]), []).append(one)
    return found
