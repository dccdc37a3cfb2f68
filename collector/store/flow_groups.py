"""Flows summed by what they have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from collector.batch import Column, Rows
from collector.store.columns import command_text
from collector.store.flow_filter import Names
from collector.store.flow_rows import OUTCOMES_OF_SUCCESS
from collector.store.workload_names import NODE_NAME, WorkloadNames, label, pod_label
from collector.workload import Workload

MICROSECONDS = 1_000_000
NANOSECONDS = 1_000_000_000
ADDED = ("bytes_sent", "bytes_received", "packets_sent", "packets_received", "retransmits")
GROUPED = (
    "local", "peer", "command", "local_port", "remote_port", "protocol", "role", "event", "outcome", "ended_at",
    "smoothed_rtt", "connect_duration", *ADDED,
)  # fmt: skip
SUMS = ("flows", "open", "failures", *ADDED, "rtt_seconds", "connect_seconds")


@dataclass(frozen=True, slots=True)
class Group:
    """keys: what the flows have in common. open, failures: how many of them; rtt, connect: means in seconds where known."""

    keys: Mapping[str, str]
    flows: int
    open: int
    failures: int
    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int
    retransmits: int
    rtt_seconds: float | None
    connect_seconds: float | None


Sums = dict[str, Column]  # one value for each group, shape (groups,); means are NaN where nothing is known
GROUP_SORTS: dict[str, Callable[[Sums], Column]] = {
    "flows": lambda sums: sums["flows"],
    "open": lambda sums: sums["open"],
    "failures": lambda sums: sums["failures"],
    "bytes": lambda sums: sums["bytes_sent"] + sums["bytes_received"],
    "bytes_sent": lambda sums: sums["bytes_sent"],
    "bytes_received": lambda sums: sums["bytes_received"],
    "retransmits": lambda sums: sums["retransmits"],
    "rtt": lambda sums: np.nan_to_num(sums["rtt_seconds"]),
    "connect": lambda sums: np.nan_to_num(sums["connect_seconds"]),
}

Coded = tuple[Column, list[str]]  # code of each row, shape (n,), and the text of each code
Coder = Callable[[Rows, Names, WorkloadNames], Coded]


def by_workload(column: str, text: Callable[[Workload], str]) -> Coder:
    def code(rows: Rows, tables: Names, names: WorkloadNames) -> Coded:
        numbers, which = np.unique(rows[column], return_inverse=True)
        codes: dict[str, int] = {}
        merged = [codes.setdefault(text(names.get(int(number))), len(codes)) for number in numbers]
        return np.array(merged, np.int64)[which], list(codes)

    return code


def _by_code(column: str) -> Coder:
    return lambda rows, tables, names: (rows[column].astype(np.int64), list(tables[column]))


def _by_value(value: Callable[[Rows, Names], Column], text: Callable[[object], str]) -> Coder:
    def code(rows: Rows, tables: Names, names: WorkloadNames) -> Coded:
        values, which = np.unique(value(rows, tables), return_inverse=True)
        return which.astype(np.int64), [text(each) for each in values]

    return code


def server_port(rows: Rows, tables: Names) -> Column:
    """The port of the end that serves, shape (n,); 0 when it is not known which end does."""
    roles = tables["role"]
    serving = (rows["role"] == roles.index("server")) | (rows["role"] == roles.index("listener"))
    calling = rows["role"] == roles.index("client")
    return np.where(serving, rows["local_port"], np.where(calling, rows["remote_port"], 0))


GROUP_KEYS: dict[str, Coder] = {
    "workload": by_workload("local", label),
    "peer": by_workload("peer", label),
    "namespace": by_workload("local", lambda workload: workload.namespace),
    "peer_namespace": by_workload("peer", lambda workload: workload.namespace),
    "pod": by_workload("local", pod_label),
    "peer_pod": by_workload("peer", pod_label),
    "container": by_workload("local", lambda workload: workload.container_name),
    "node": by_workload("local", lambda workload: workload.facts.get(NODE_NAME, "")),
    "process": _by_value(lambda rows, tables: rows["command"], lambda command: command_text(bytes(command))),  # type: ignore[call-overload]
    "port": _by_value(server_port, str),
    "protocol": _by_code("protocol"),
    "role": _by_code("role"),
    "state": _by_code("event"),
    "outcome": _by_code("outcome"),
}


def failed(outcomes: Column, tables: Names) -> Column:
    """Mask of codes of outcomes that nobody wants: refused, reset, timed out, aborted, ..."""
    bad = np.array([name not in ("", *OUTCOMES_OF_SUCCESS) for name in tables["outcome"]], bool)
    mask: Column = bad[outcomes]
    return mask


@dataclass(frozen=True, slots=True)
class GroupOrder:
    """by: a key of GROUP_SORTS. At most `limit` groups are made; all are counted."""

    by: str
    descending: bool
    limit: int


def group_flows(
    rows: Rows, keys: tuple[str, ...], order: GroupOrder, tables: Names, names: WorkloadNames
) -> tuple[list[Group], int]:
    """The first groups in `order`, one for each combination of `keys` that occurs, and how many there are. Sums are exact."""
    if not len(rows):
        return [], 0
    coded = [GROUP_KEYS[key](rows, tables, names) for key in keys]
    together, starts = group_by_codes([codes for codes, _ in coded])
    sums = _sums(rows, together, starts, tables)
    chosen = first_by(GROUP_SORTS[order.by](sums), order.descending, order.limit)
    at = together[starts[chosen]]
    texts = [[text[code] for code in codes[at]] for codes, text in coded]
    columns = [known_or_none(sums[name][chosen]) for name in SUMS]
    groups = [
        Group(dict(zip(keys, key, strict=True)), *each)
        for key, each in zip(zip(*texts, strict=True), zip(*columns, strict=True), strict=True)
    ]
    return groups, len(starts)


def group_by_codes(columns: list[Column]) -> tuple[Column, Column]:
    """Order that brings equal rows together, and where each group starts; columns: (n,) each, int64, not negative."""
    combined = np.zeros(len(columns[0]), np.int64)
    for codes in columns:
        combined = np.unique(combined * (int(codes.max()) + 1) + codes, return_inverse=True)[1]
    order = np.argsort(combined, kind="stable")
    return order, np.flatnonzero(np.diff(combined[order], prepend=-1))


def first_by(values: Column, descending: bool, limit: int) -> Column:
    """Indices of the first `limit` in the order of `values`; equal ones in the order in which they are given."""
    if descending:
        return (len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1])[:limit]
    return np.argsort(values, kind="stable")[:limit]


def total(values: Column, starts: Column) -> Column:
    """Exact sums of each group, u8; `values` lie group by group."""
    sums: Column = np.add.reduceat(values.astype(np.uint64), starts)
    return sums


def mean(values: Column, starts: Column, unit: int) -> Column:
    """Mean of the known (non-zero) values of each group, in seconds; NaN where none is known."""
    known = np.add.reduceat((values > 0).astype(np.int64), starts)
    means: Column = np.add.reduceat(values.astype(np.float64), starts) / np.where(known > 0, known, np.nan) / unit
    return means


def known_or_none(values: Column) -> list[Any]:
    """Plain Python values, None for NaN."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    return [None if math.isnan(value) else value for value in values.tolist()]


def _sums(rows: Rows, together: Column, starts: Column, tables: Names) -> Sums:
    """together: order that brings the rows of a group together. A column at a time: all at once were a copy of the store."""

    def column(name: str) -> Column:
        ordered: Column = rows[name][together]
        return ordered

    return {
        "flows": np.diff(starts, append=len(rows)),
        "open": total(column("ended_at") == 0, starts),
        "failures": total(failed(column("outcome"), tables), starts),
        **{name: total(column(name), starts) for name in ADDED},
        "rtt_seconds": mean(column("smoothed_rtt"), starts, MICROSECONDS),
        "connect_seconds": mean(column("connect_duration"), starts, NANOSECONDS),
    }
