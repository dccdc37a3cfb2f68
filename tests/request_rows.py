"""Rows of the record `request`, made by hand."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np

from collector.batch import Rows, Schema
from collector.decode.request import Outcome
from collector.decode.request_record import OUTCOME_NUMBERS, PROTOCOL_NUMBERS, RequestTexts, request_schema

CLIENT, SERVER = 1, 2
SECOND = 1_000_000_000


class RequestRows:
    """Adds rows one by one; `rows` are all of them. texts and schema belong together."""

    def __init__(self, probe: str = "socket_data") -> None:
        self.texts = RequestTexts()
        self.schema: Schema = request_schema(probe, self.texts)
        self._made: list[Rows] = []

    @property
    def rows(self) -> Rows:
        return np.concatenate([np.zeros(0, self.schema.dtype), *self._made])

    def add(self, role: int = SERVER, start: int = SECOND, duration: int = 1000, **fields: Any) -> RequestRows:
        """Texts and addresses as text, enums by name, times in boot ns; every row has a flow of its own unless told otherwise."""
        row = np.zeros(1, self.schema.dtype)
        defaults = {"flow": len(self._made) + 1, "process": 10, "thread": 10, "request_body_bytes": -1, "response_body_bytes": -1}
        numbers = {"protocol": PROTOCOL_NUMBERS.get, "outcome": lambda name: OUTCOME_NUMBERS[Outcome(name)], **self._texts()}
        for name, value in {**defaults, "role": role, "observed_at": start, "duration": duration, **fields}.items():
            if name.endswith("_address"):
                row[name] = np.frombuffer(packed(value), "V16")
            else:
                row[name] = numbers[name](value) if isinstance(value, str) else value
        self._made.append(row)
        return self

    def _texts(self) -> dict[str, Any]:
        tables = self.texts
        return {
            "operation": tables.operations.number,
            "resource": tables.resources.number,
            "status": tables.statuses.number,
            "error_type": tables.statuses.number,
            "system": tables.systems.number,
            "namespace": tables.namespaces.number,
        }


def packed(address: str) -> bytes:
    """16 bytes; IPv4 as ::ffff:a.b.c.d."""
    one = ipaddress.ip_address(address)
    return one.packed if one.version == 6 else b"\0" * 10 + b"\xff\xff" + one.packed


def many_rows(count: int, seconds: float = 1.0) -> Rows:
    """Server requests, evenly spread over that time, all different."""
    made = RequestRows()
    rows = np.zeros(count, made.schema.dtype)
    rows["flow"] = np.arange(1, count + 1)
    rows["observed_at"] = SECOND + (np.arange(count) * (seconds * SECOND / max(count, 1))).astype(np.int64)
    rows["duration"], rows["role"] = 1000, SERVER
    return rows
