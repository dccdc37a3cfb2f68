"""Captured segments in, requests out, seen from the server's end: it is `local`, the client `remote`.

A packet capture knows no processes and no cgroups: these fields stay zero, and the workload unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from collector.batch import Batch
from collector.decode.request_record import (
    RequestTexts,
    request_batch,
    request_schema,
)
from collector.decode.request_rows import fill_requests
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
        fill_requests(rows, [one.request for one in finished], self._texts)
        return request_batch(self._schema, rows)
