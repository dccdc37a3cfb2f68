"""Requests summed by what they have in common: how many, how fast, how well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collector.batch import Column, Rows
from collector.store.columns import command_text
from collector.store.flow_groups import NANOSECONDS, by_workload, first_by, group_by_codes, known_or_none, total
from collector.store.request_filter import failed_requests
from collector.store.requests import Words
from collector.store.workload_names import NODE_NAME, WorkloadNames, label, pod_label

PERCENTILES = {"p50_seconds": 0.50, "p90_seconds": 0.90, "p95_seconds": 0.95, "p99_seconds": 0.99, "max_seconds": 1.0}
GROUPED = (
    "local", "peer", "command", "server_port", "protocol", "role", "outcome", "operation", "route", "status", "error_type",
    "request_bytes", "response_bytes", "duration",
)  # fmt: skip
SUMS = ("requests", "rate", "errors", "error_share", "request_bytes", "response_bytes", *PERCENTILES)


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """keys: what the requests have in common. rate: per second, None when there is no length of time to speak of.

    Percentiles: of those that were answered, by nearest rank, so each is the duration of one of them; None without any.
    """

    keys: Mapping[str, str]
    requests: int
    rate: float | None
    errors: int
    error_share: float
    request_bytes: int
    response_bytes: int
    p50_seconds: float | None
    p90_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    max_seconds: float | None


Sums = dict[str, Column]  # one value for each group, shape (groups,); NaN where nothing is known
GROUP_SORTS: dict[str, Callable[[Sums], Column]] = {
    "requests": lambda sums: sums["requests"],
    "rate": lambda sums: sums["requests"],
    "errors": lambda sums: sums["errors"],
    "error_share": lambda sums: sums["error_share"],
    "bytes": lambda sums: sums["request_bytes"] + sums["response_bytes"],
    "p50": lambda sums: np.nan_to_num(sums["p50_seconds"]),
    "p90": lambda sums: np.nan_to_num(sums["p90_seconds"]),
    "p95": lambda sums: np.nan_to_num(sums["p95_seconds"]),
    "p99": lambda sums: np.nan_to_num(sums["p99_seconds"]),
    "max": lambda sums: np.nan_to_num(sums["max_seconds"]),
}

Coded = tuple[Column, Sequence[str]]  # code of each row, shape (n,), and the text of each code
Coder = Callable[[Rows, Words, WorkloadNames], Coded]


def _by_word(column: str) -> Coder:
    return lambda rows, words, names: (rows[column].astype(np.int64), words[column])


def _by_process(rows: Rows, words: Words, names: WorkloadNames) -> Coded:
    commands, which = np.unique(rows["command"], return_inverse=True)
    return which.astype(np.int64), [command_text(command) for command in commands.tolist()]


def _by_port(rows: Rows, words: Words, names: WorkloadNames) -> Coded:
    ports, which = np.unique(rows["server_port"], return_inverse=True)
    return which.astype(np.int64), [str(port) for port in ports.tolist()]


GROUP_KEYS: dict[str, Coder] = {
    "workload": by_workload("local", label),
    "peer": by_workload("peer", label),
    "namespace": by_workload("local", lambda workload: workload.namespace),
    "peer_namespace": by_workload("peer", lambda workload: workload.namespace),
    "pod": by_workload("local", pod_label),
    "peer_pod": by_workload("peer", pod_label),
    "container": by_workload("local", lambda workload: workload.container_name),
    "node": by_workload("local", lambda workload: workload.facts.get(NODE_NAME, "")),
    "process": _by_process,
    "port": _by_port,
    "protocol": _by_word("protocol"),
    "role": _by_word("role"),
    "operation": _by_word("operation"),
    "route": _by_word("route"),
    "status": _by_word("status"),
    "error": _by_word("error_type"),
    "outcome": _by_word("outcome"),
}


@dataclass(frozen=True, slots=True)
class RequestGrouping:
    """keys: of GROUP_KEYS; by: of GROUP_SORTS. At most `limit` groups are made. seconds: what the rate is over; 0: no rate."""

    keys: tuple[str, ...]
    by: str
    descending: bool
    limit: int
    seconds: float


def group_requests(rows: Rows, grouping: RequestGrouping, words: Words, names: WorkloadNames) -> tuple[list[RequestGroup], int]:
    """The first groups, one for each combination of keys that occurs, and how many there are. Sums are exact."""
    if not len(rows):
        return [], 0
    coded = [GROUP_KEYS[key](rows, words, names) for key in grouping.keys]
    together, starts = group_by_codes([codes for codes, _ in coded])
    sums = _sums(rows, together, starts, failed_requests(rows, words))
    sums["rate"] = sums["requests"] / grouping.seconds if grouping.seconds > 0 else np.full(len(starts), np.nan)
    chosen = first_by(GROUP_SORTS[grouping.by](sums), grouping.descending, grouping.limit)
    at = together[starts[chosen]]
    texts = [[text[code] for code in codes[at].tolist()] for codes, text in coded]
    columns = [known_or_none(sums[name][chosen]) for name in SUMS]
    groups = [
        RequestGroup(dict(zip(grouping.keys, key, strict=True)), *each)
        for key, each in zip(zip(*texts, strict=True), zip(*columns, strict=True), strict=True)
    ]
    return groups, len(starts)


def _sums(rows: Rows, together: Column, starts: Column, failed: Column) -> Sums:
    counts = np.diff(starts, append=len(rows))
    errors = total(failed[together], starts)
    return {
        "requests": counts,
        "errors": errors,
        "error_share": errors / counts,
        "request_bytes": total(rows["request_bytes"][together], starts),
        "response_bytes": total(rows["response_bytes"][together], starts),
        **percentiles(rows["duration"][together], starts),
    }


def percentiles(durations: Column, starts: Column) -> Sums:
    """PERCENTILES of each group in seconds, NaN where no duration is known (0); `durations` (ns) lie group by group."""
    counts = np.diff(starts, append=len(durations))
    group = np.repeat(np.arange(len(starts)), counts)
    ordered = durations[np.lexsort((durations, group))]
    known = np.add.reduceat((durations > 0).astype(np.int64), starts)
    ends = starts + counts
    return {
        name: np.where(known > 0, ordered[ends - np.maximum(known - nearest_rank(known, part), 0) - 1] / NANOSECONDS, np.nan)
        for name, part in PERCENTILES.items()
    }


def nearest_rank(counts: Column, part: float) -> Column:
    """Which of `counts` values in order, from 1, is the percentile."""
    ranks: Column = np.maximum(np.ceil(np.round(counts * part, 9)), 1).astype(np.int64)
    return ranks
