"""Batches of requests as they reach the store: with workloads and routes."""

from __future__ import annotations

from typing import Any

import numpy as np
from request_rows import CLIENT, SECOND, SERVER, RequestRows

from collector.batch import Batch
from collector.decode.request_record import request_batch
from collector.enrich.route_enricher import RouteEnricher
from store.flow_batches import OFFSET_NS

MILLISECOND = 1_000_000
__all__ = ["CLIENT", "MILLISECOND", "OFFSET_NS", "SECOND", "SERVER", "RequestBatches", "request"]


class LastSegment:
    """Routes without a memory: the last segment of a path is a value."""

    def route(self, service: int, path: str, status: int) -> str:
        return path.rpartition("/")[0] + "/:id" if path.count("/") > 1 else path


class RequestBatches:
    """Batches of one decoder: its texts grow from batch to batch."""

    def __init__(self, probe: str = "socket_data") -> None:
        self.probe = probe
        self._texts = RequestRows(probe)
        self._enricher = RouteEnricher(LastSegment())

    def batch(self, *rows: dict[str, Any]) -> Batch:
        """rows: as `request` makes them."""
        made = RequestRows(self.probe)
        made.texts, made.schema = self._texts.texts, self._texts.schema
        for row in rows:
            made.add(**{name: value for name, value in row.items() if name not in ("local", "peer")})
        batch = request_batch(made.schema, made.rows)
        batch.columns = {side: np.array([row.get(side, 0) for row in rows], np.int32) for side in ("local", "peer")}
        self._enricher.enrich(batch)
        return batch


def request(second: float = 1, **columns: Any) -> dict[str, Any]:
    """A GET that nginx (workload 1) answered for curl (5) in a millisecond, begun at that second of the boot clock."""
    row: dict[str, Any] = {
        "role": SERVER,
        "start": int(second * SECOND),
        "duration": MILLISECOND,
        "first_byte": MILLISECOND // 2,
        "protocol": "http",
        "operation": "GET",
        "resource": "/users/17",
        "status": "200",
        "outcome": "ok",
        "request_bytes": 100,
        "response_bytes": 1000,
        "local_address": "10.0.0.2",
        "remote_address": "10.0.0.1",
        "local_port": 80,
        "remote_port": 40000,
        "server_port": 80,
        "command": b"nginx",
        "process": 42,
        "thread": 43,
        "local": 1,
        "peer": 5,
    }
    return row | columns
