"""The store's own row of a flow, and how rows of any probe become such rows: by field name, enums by value name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collector.batch import Batch, BatchKind, Column, Field, Rows, Schema
from collector.store.columns import address_halves, wall_times
from collector.store.name_table import NameTable

# Times are unix nanoseconds, 0: not known (started_at, ended_at) or still open (ended_at).
FLOW = np.dtype(
    [
        ("sequence", "u8"),  # order of arrival in the store, unique, kept from first sight to the end
        ("time", "i8"),  # started_at, or when the store first saw a flow older than the agent
        ("started_at", "i8"),
        ("ended_at", "i8"),
        ("observed_at", "i8"),  # when the counters were read
        ("process_started_at", "i8"),
        ("flow", "u8"),
        ("duration", "u8"),  # ns
        ("connect_duration", "u8"),  # ns
        ("bytes_sent", "u8"),
        ("bytes_received", "u8"),
        ("packets_sent", "u8"),  # TCP segments, UDP datagrams
        ("packets_received", "u8"),
        ("local_address", "u8", (2,)),  # high and low half of the IPv6 address
        ("remote_address", "u8", (2,)),
        ("command", "S16"),
        ("netns", "u4"),
        ("process", "u4"),
        ("retransmits", "u4"),
        ("smoothed_rtt", "u4"),  # us
        ("minimum_rtt", "u4"),  # us
        ("error", "i4"),
        ("local", "i4"),  # workload numbers
        ("peer", "i4"),
        ("local_port", "u2"),
        ("remote_port", "u2"),
        ("protocol", "u1"),
        ("event", "u1"),
        ("role", "u1"),
        ("outcome", "u1"),
        ("state", "u1"),
        ("owner_evidence", "u1"),
    ]
)
ENUMS = ("event", "role", "outcome", "state", "owner_evidence")
ADDRESSES = ("local_address", "remote_address")
SPELLINGS = {"packets_sent": ("segments_sent", "datagrams_sent"), "packets_received": ("segments_received", "datagrams_received")}
WORKLOADS = ("local", "peer")  # added by enrichers
TIMES = ("time", "started_at", "ended_at", "observed_at", "process_started_at")
MADE_HERE = {"sequence", "protocol", *TIMES, *ENUMS, *ADDRESSES, *WORKLOADS}
OUTCOMES_OF_SUCCESS = ("none", "closed", "unknown", "idle")
OUTCOMES_OF_FAILURE = (
    "reset_by_peer",
    "aborted",
    "timed_out",
    "refused",
    "unreachable",
    "abandoned",
    "no_local_port",
    "failed",
)
ENUM_VALUE_MAX = 255


def new_name_tables() -> dict[str, NameTable]:
    """One table per coded column. What a client may ask for before the first flow came is known from the start."""
    return {
        "protocol": NameTable("tcp", "udp"),
        "event": NameTable("open", "closed", "failed", "listening", "listen_ended", "connecting"),
        "role": NameTable("unknown", "client", "server", "listener"),
        "outcome": NameTable(*OUTCOMES_OF_SUCCESS, *OUTCOMES_OF_FAILURE),
        "state": NameTable(),
        "owner_evidence": NameTable(),
    }


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of one schema goes where; worked out once."""

    schema: Schema
    plain: tuple[tuple[str, str], ...]  # (own column, column of the record)
    enums: tuple[tuple[str, Column], ...]  # (column, code by enum value, the last for values without a name)


class FlowReader:
    """Turns batches of any flow record into FLOW rows."""

    def __init__(self) -> None:
        self.tables = new_name_tables()
        self._plans: dict[tuple[str, str], _Plan] = {}

    def read(self, batch: Batch, wall_offset_ns: int, protocol: str) -> Rows:
        """FLOW rows, shape (len(batch),), sequence and ended_at still 0; columns the record has not are 0."""
        plan = self._plan(batch.schema)
        rows = np.zeros(len(batch), FLOW)
        rows["protocol"] = self.tables["protocol"].code(protocol)
        rows["event"] = self.tables["event"].code("open" if batch.kind is BatchKind.SNAPSHOT else "closed")
        rows["outcome"] = self.tables["outcome"].code("none" if batch.kind is BatchKind.SNAPSHOT else "closed")
        for own, theirs in plan.plain:
            rows[own] = batch[theirs]
        for name in WORKLOADS:
            if name in batch:
                rows[name] = batch[name]
        for name, codes in plan.enums:
            rows[name] = codes[np.minimum(batch[name].astype(np.uint32), len(codes) - 1)]
        for name in ADDRESSES:
            if name in batch:
                rows[name] = address_halves(batch[name])
        _set_times(rows, batch, wall_offset_ns)
        return rows

    def _plan(self, schema: Schema) -> _Plan:
        key = (schema.probe, schema.record)
        known = self._plans.get(key)
        if known is None or known.schema is not schema:
            known = self._plans[key] = self._make_plan(schema)
        return known

    def _make_plan(self, schema: Schema) -> _Plan:
        theirs = {field.name: field for field in schema.fields}
        plain = []
        for own in FLOW.names or ():
            source = next((name for name in (own, *SPELLINGS.get(own, ())) if name in theirs), None)
            if source and own not in MADE_HERE:
                plain.append((own, source))
        enums = [(name, self._codes_by_value(theirs[name])) for name in ENUMS if name in theirs]
        return _Plan(schema, tuple(plain), tuple(enums))

    def _codes_by_value(self, field: Field) -> Column:
        table = self.tables[field.name]
        named = {value: name for value, name in field.names.items() if 0 <= value < ENUM_VALUE_MAX}
        codes = np.zeros(max(named, default=-1) + 2, np.uint8)
        for value, name in named.items():
            codes[value] = table.code(name)
        return codes


def _set_times(rows: Rows, batch: Batch, wall_offset_ns: int) -> None:
    observed = wall_times(batch, "observed_at", wall_offset_ns)
    rows["observed_at"] = observed
    rows["started_at"] = wall_times(batch, "opened_at", wall_offset_ns)
    rows["process_started_at"] = wall_times(batch, "process_started_at", wall_offset_ns)
    if "duration" not in batch:
        rows["duration"] = np.where(rows["started_at"] > 0, np.maximum(observed - rows["started_at"], 0), 0)
    rows["time"] = np.where(rows["started_at"] > 0, rows["started_at"], observed)
