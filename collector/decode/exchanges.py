"""From what sockets carried to requests: HTTP/1 a batch at a time, other protocols one conversation per connection.

Takes the records of probes/include/exchange.bpf.h: request_rest, socket_exchange, socket_chunk.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from collector.batch import Batch, Column, RowGroups, Rows
from collector.decode.decision import Decision
from collector.decode.exchange_feed import feed_exchange, read_exchanges
from collector.decode.http_exchanges import HttpExchanges
from collector.decode.request import Request, Side
from collector.decode.request_details import ROW_FIELDS, describe_row
from collector.decode.request_record import (
    RequestTexts,
    copy_owner,
    request_batch,
    request_schema,
)
from collector.decode.request_rows import fill_requests
from collector.decode.sampling import RequestSampler
from collector.decode.stream_table import STREAMS_MAX, Stream, StreamTable, request_head, response_head
from collector.decode.trace_columns import traces_of
from collector.row_groups import group_rows

HTTP = "http"  # read in columns; all others by one conversation per connection
RESTS_MAX = 4096
TLS_PROBE = "tls_data"


class ExchangeDecoder:
    """Bounded: of more than max_connections the one silent for longest is forgotten first.

    sampler: chooses the requests that become spans; their batches then have the column `details` (object: Request, or
    None where it is not sampled). Without one nothing is sampled. keep_texts: sanitised texts of queries become attributes.
    """

    def __init__(
        self, sampler: RequestSampler | None = None, *, keep_texts: bool = False, max_connections: int = STREAMS_MAX
    ) -> None:
        self._sampler = sampler
        self._texts = RequestTexts()
        self._http = HttpExchanges(self._texts)
        self._rests: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._probe = ""
        self._schema = request_schema("", self._texts)
        self._counters: Counter[str] = Counter()
        self._streams = StreamTable(self._counters, keep_texts=keep_texts, maximum=max_connections)

    def decode(self, batch: Batch) -> list[Batch]:
        if not len(batch):
            return []
        if self._texts.resources.is_nearly_full:
            self._texts.renew_resources()
            self._http.forget_lines()
            self._probe = ""
        if batch.schema.probe != self._probe:
            self._probe = batch.schema.probe
            self._schema = request_schema(self._probe, self._texts)
        if batch.schema.record == "request_rest":
            self._keep_rests(batch.rows)
        if batch.schema.record == "socket_exchange":
            return self._decode_exchanges(batch.rows)
        if batch.schema.record == "socket_chunk":
            return self._decode_chunks(batch.rows)
        return []

    def take_decisions(self) -> list[Decision]:
        """What was decided since the last call."""
        return self._streams.take_decisions()

    def counters(self) -> Mapping[str, int]:
        texts = self._texts
        over = {
            "operations_over": texts.operations.overflowed,
            "resources_over": texts.resources.overflowed,
            "statuses_over": texts.statuses.overflowed,
        }
        return {**self._counters, **over, "unreadable_heads": self._http.unreadable}

    def expire(self, now_boot_ns: int) -> list[Batch]:
        """Forgets connections that have been silent for long."""
        self._streams.forget_silent(now_boot_ns)
        return []

    def _decode_exchanges(self, source: Rows) -> list[Batch]:
        owners = group_rows([source["flow"], source["process"]])
        streams = self._streams.of_exchanges(source, owners)
        names = np.array([stream.protocol.name if stream.protocol else "" for stream in streams])
        if (names == HTTP).all():
            return [self._http_batch(source, owners)]
        names = names[owners.inverse]
        is_http, known = names == HTTP, names != ""
        self._counters["unrecognised_exchanges"] += int(np.count_nonzero(~known))
        made = []
        if is_http.any():
            rows = source[is_http]
            made.append(self._http_batch(rows, group_rows([rows["flow"], rows["process"]])))
        others = np.flatnonzero(known & ~is_http)
        if len(others):
            made += self._converse(source[others], [streams[owner] for owner in owners.inverse[others].tolist()])
        return made

    def _keep_rests(self, source: Rows) -> None:
        """Rests of long requests, until their exchange comes; of spans only they are needed."""
        if self._sampler is None:
            return
        for row in source:
            self._rests[int(row["flow"]), int(row["sequence"])] = row["bytes"][: row["captured"]].tobytes()
        while len(self._rests) > RESTS_MAX:
            self._rests.popitem(last=False)
            self._counters["rests_forgotten"] += 1

    def _http_batch(self, source: Rows, owners: RowGroups) -> Batch:
        rows = np.zeros(len(source), self._schema.dtype)
        copy_owner(source, rows)
        fill_times(source, rows)
        traces = self._http.fill(source, rows)
        batch = request_batch(self._schema, rows, owners)
        if self._sampler is not None:
            chosen = self._sampler.choose(rows, traces)
            batch.columns["details"] = self._http_details(source, rows, np.flatnonzero(chosen))
        return batch

    def _http_details(self, source: Rows, rows: Rows, chosen: Column) -> Column:
        details: Column = np.empty(len(rows), object)
        scheme = "https" if self._probe == TLS_PROBE else "http"
        rows["sampled"][chosen] = 1
        values = zip(*(rows[name][chosen].tolist() for name in ROW_FIELDS), strict=True)
        places = zip(source["flow"][chosen].tolist(), source["sequence"][chosen].tolist(), strict=True)
        for index, place, numbers in zip(chosen.tolist(), places, values, strict=True):
            row = source[index]
            head = request_head(row) + self._rests.pop(place, b"")
            details[index] = describe_row(head, response_head(row), numbers, self._texts, scheme)
        return details

    def _converse(self, source: Rows, streams: Sequence[Stream]) -> list[Batch]:
        """Feeds each exchange to the parser of its connection."""
        places: list[int] = []
        found: list[Request] = []
        for place, (shown, stream) in enumerate(zip(read_exchanges(source), streams, strict=True)):
            requests = feed_exchange(stream.converse(), shown)
            if requests:
                places += [place] * len(requests)
                found += requests
        return self._batch_of(source[places], found)

    def _decode_chunks(self, source: Rows) -> list[Batch]:
        places: list[int] = []
        found: list[Request] = []
        for place, row in enumerate(source):
            requests = self._feed_chunk(self._streams.of_chunk(row), row)
            places += [place] * len(requests)
            found += requests
        return self._batch_of(source[places], found)

    def _feed_chunk(self, stream: Stream, row: np.void) -> Sequence[Request]:
        side, at, now = Side(int(row["side"])), int(row["position"]), int(row["observed_at"])
        data = row["bytes"][: row["captured"]].tobytes()
        if stream.protocol is None:
            self._counters["unrecognised_chunks"] += 1
            return []
        conversation = stream.converse()
        if stream.positions[side] not in (-1, at):
            self._counters["gaps"] += 1
            conversation.lose(side)
        stream.expect(side, at + int(row["length"]))
        if row["closed"]:
            return conversation.end(now)
        done = list(conversation.feed(side, data, now))
        if len(data) < row["length"]:
            done += conversation.skip(side, int(row["length"]) - len(data), now)
        return done

    def _batch_of(self, source: Rows, found: Sequence[Request]) -> list[Batch]:
        """source: the rows that the requests were found in, one for each."""
        if not found:
            return []
        rows = np.zeros(len(found), self._schema.dtype)
        copy_owner(source, rows)
        fill_requests(rows, found, self._texts)
        batch = request_batch(self._schema, rows, group_rows([source["flow"], source["process"]]))
        if self._sampler is not None:
            rows["sampled"] = chosen = self._sampler.choose(rows, traces_of(request.trace_parent for request in found))
            details = batch.columns["details"] = np.empty(len(rows), object)
            for place in np.flatnonzero(chosen).tolist():
                details[place] = found[place]
        return [batch]


def fill_times(source: Rows, rows: Rows) -> None:
    """Times, sizes: what the kernel measured, the same for every protocol."""
    rows["observed_at"] = source["request_started_at"]
    rows["duration"] = difference(source["response_ended_at"], source["request_started_at"])
    rows["first_byte"] = difference(source["response_started_at"], source["request_started_at"])
    rows["request_bytes"], rows["response_bytes"] = source["request_bytes"], source["response_bytes"]


def difference(later: Column, earlier: Column) -> Column:
    """0 where `later` is not known."""
    return np.where(later > earlier, later - earlier, 0)
