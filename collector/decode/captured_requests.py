"""Captured segments in, requests out, seen from the server's end: it is `local`, the client `remote`.

A packet capture knows no processes and no cgroups: these fields stay zero, and the workload unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from collector.batch import Batch
from collector.decode.request import Request
from collector.decode.request_record import (
    OUTCOME_NUMBERS,
    PROTOCOL_NUMBERS,
    RequestTexts,
    name_database,
    request_batch,
    request_schema,
)
from collector.decode.tcp_streams import StreamRequest, StreamSegment, TcpStreams

SERVER = 2  # enum request_role
COLUMNS = (
    "observed_at", "source_address", "source_port", "destination_address", "destination_port", "sequence", "acknowledgement",
    "flags", "payload", "payload_length", "event",
)  # fmt: skip
CAPTURE_ENDED = 1


class CapturedRequestDecoder:
    """Takes batches of captured_segment: one call a segment, as a capture is no hot path. Bounded as TcpStreams is."""

    def __init__(self) -> None:
        self._texts = RequestTexts()
        self._schema = request_schema("capture", self._texts)
        self._streams = TcpStreams()

    def decode(self, batch: Batch) -> list[Batch]:
        """At most one batch: what these segments finish."""
        finished: list[StreamRequest] = []
        columns = (batch[name].tolist() for name in COLUMNS)
        for time, source, source_port, destination, destination_port, *numbers, payload, size, event in zip(
            *columns, strict=True
        ):
            if event == CAPTURE_ENDED:
                finished += self._streams.end_all()
                continue
            sequence, acknowledgement, flags = numbers
            ends = (source, source_port), (destination, destination_port)
            finished += self._streams.add(StreamSegment(time, *ends, sequence, acknowledgement, flags, payload, size))
        return [self._batch_of(finished)] if finished else []

    def expire(self, now_boot_ns: int) -> list[Batch]:
        return []

    def counters(self) -> Mapping[str, int]:
        texts = self._texts
        over = {"operations_over": texts.operations.overflowed, "resources_over": texts.resources.overflowed}
        return {**self._streams.counters(), **over, "statuses_over": texts.statuses.overflowed}

    def _batch_of(self, finished: Sequence[StreamRequest]) -> Batch:
        rows = np.zeros(len(finished), self._schema.dtype)
        rows["role"] = SERVER
        rows["flow"] = [one.flow for one in finished]
        for name, ends in (("local", [one.server for one in finished]), ("remote", [one.client for one in finished])):
            rows[f"{name}_address"] = np.array([address for address, _ in ends], "V16")
            rows[f"{name}_port"] = [port for _, port in ends]
        rows["server_port"] = rows["local_port"]
        requests = [one.request for one in finished]
        for name in ("request_bytes", "response_bytes", "request_body_bytes", "response_body_bytes"):
            rows[name] = [getattr(request, name) for request in requests]
        rows["observed_at"] = [request.started_at for request in requests]
        rows["duration"] = [span(request.started_at, request.ended_at) for request in requests]
        rows["first_byte"] = [span(request.started_at, request.response_started_at) for request in requests]
        for name, values in self._words(requests).items():
            rows[name] = values
        for row, request in zip(rows, requests, strict=True):
            name_database(row, request, self._texts)
        return request_batch(self._schema, rows)

    def _words(self, requests: Sequence[Request]) -> dict[str, list[int]]:
        texts = self._texts
        return {
            "protocol": [PROTOCOL_NUMBERS.get(request.protocol, 0) for request in requests],
            "outcome": [OUTCOME_NUMBERS[request.outcome] for request in requests],
            "operation": [texts.operations.number(request.operation) for request in requests],
            "resource": [texts.resources.number(request.resource) for request in requests],
            "status": [texts.statuses.number(request.status) for request in requests],
            "error_type": [texts.statuses.number(request.error_type) for request in requests],
        }


def span(start: int, end: int) -> int:
    return end - start if start and end > start else 0
