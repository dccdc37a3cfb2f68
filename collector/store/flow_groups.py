"""Flows summed by what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from collector.batch import Column, Rows
from collector.store.flow_filter import Names, command_text
from collector.store.flow_rows import OUTCOMES_OF_SUCCESS
from collector.store.workload_names import WorkloadNames, label
from collector.workload import Workload, WorkloadKind

MICROSECONDS = 1_000_000
NANOSECONDS = 1_000_000_000


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


GROUP_SORTS: dict[str, Callable[[Group], float]] = {
    "flows": lambda group: group.flows,
    "open": lambda group: group.open,
    "failures": lambda group: group.failures,
    "bytes": lambda group: group.bytes_sent + group.bytes_received,
    "bytes_sent": lambda group: group.bytes_sent,
    "bytes_received": lambda group: group.bytes_received,
    "retransmits": lambda group: group.retransmits,
    "rtt": lambda group: group.rtt_seconds or 0.0,
    "connect": lambda group: group.connect_seconds or 0.0,
}

Coded = tuple[Column, list[str]]  # code of each row, shape (n,), and the text of each code
Coder = Callable[[Rows, Names, WorkloadNames], Coded]


def _by_workload(column: str, text: Callable[[Workload], str]) -> Coder:
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


def _pod(workload: Workload) -> str:
    return label(workload) if workload.kind is WorkloadKind.POD else ""


GROUP_KEYS: dict[str, Coder] = {
    "workload": _by_workload("local", label),
    "peer": _by_workload("peer", label),
    "namespace": _by_workload("local", lambda workload: workload.namespace),
    "peer_namespace": _by_workload("peer", lambda workload: workload.namespace),
    "pod": _by_workload("local", _pod),
    "process": _by_value(lambda rows, tables: rows["command"], lambda command: command_text(bytes(command))),  # type: ignore[call-overload]
    "port": _by_value(server_port, str),
    "protocol": _by_code("protocol"),
    "role": _by_code("role"),
    "state": _by_code("event"),
    "outcome": _by_code("outcome"),
}


def failed(rows: Rows, tables: Names) -> Column:
    """Mask of flows that ended as nobody wants it: refused, reset, timed out, aborted, ..."""
    bad = np.array([name not in ("", *OUTCOMES_OF_SUCCESS) for name in tables["outcome"]], bool)
    mask: Column = bad[rows["outcome"]]
    return mask


def group_flows(rows: Rows, keys: tuple[str, ...], tables: Names, names: WorkloadNames) -> list[Group]:
    """One group for each combination of `keys` that occurs, in no order worth knowing. Sums are exact."""
    if not len(rows):
        return []
    coded = [GROUP_KEYS[key](rows, tables, names) for key in keys]
    order, starts = group_by_codes([codes for codes, _ in coded])
    texts = [[text[code] for code in codes[order][starts]] for codes, text in coded]
    sums = _sums(rows[order], starts, tables)
    return [
        Group(dict(zip(keys, key, strict=True)), *each)
        for key, each in zip(zip(*texts, strict=True), zip(*sums, strict=True), strict=True)
    ]


def group_by_codes(columns: list[Column]) -> tuple[Column, Column]:
    """Order that brings equal rows together, and where each group starts; columns: (n,) each, int64, not negative."""
    combined = np.zeros(len(columns[0]), np.int64)
    for codes in columns:
        combined = np.unique(combined * (int(codes.max()) + 1) + codes, return_inverse=True)[1]
    order = np.argsort(combined, kind="stable")
    return order, np.flatnonzero(np.diff(combined[order], prepend=-1))


def _sums(rows: Rows, starts: Column, tables: Names) -> list[list[int] | list[float | None]]:
    def total(values: Column) -> list[int]:
        return [int(value) for value in np.add.reduceat(values.astype(np.uint64), starts)]

    return [
        np.diff(starts, append=len(rows)).tolist(),
        total(rows["ended_at"] == 0),
        total(failed(rows, tables)),
        total(rows["bytes_sent"]),
        total(rows["bytes_received"]),
        total(rows["packets_sent"]),
        total(rows["packets_received"]),
        total(rows["retransmits"]),
        means(rows["smoothed_rtt"], starts, MICROSECONDS),
        means(rows["connect_duration"], starts, NANOSECONDS),
    ]


def means(values: Column, starts: Column, unit: int) -> list[float | None]:
    """Mean of the known (non-zero) values of each group, in seconds; None where none is known."""
    sums = np.add.reduceat(values.astype(np.float64), starts)
    known = np.add.reduceat((values > 0).astype(np.int64), starts)
    return [float(s / n / unit) if n else None for s, n in zip(sums, known, strict=True)]
