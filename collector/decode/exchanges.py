"""From what sockets carried to requests: HTTP/1 a batch at a time, other protocols one conversation per connection.

Takes the records of probes/include/exchange.bpf.h: request_rest, socket_exchange, socket_chunk.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from collector.batch import Batch, Column, RowGroups, Rows
from collector.decode.decision import Decision
from collector.decode.http_bodies import fill_body_sizes
from collector.decode.http_exchanges import HttpExchanges
from collector.decode.request import Conversation, Request, Side
from collector.decode.request_details import ROW_FIELDS, describe_row
from collector.decode.request_record import (
    OUTCOME_NUMBERS,
    PROTOCOL_NUMBERS,
    RequestTexts,
    copy_owner,
    error_type_at,
    name_database,
    request_batch,
    request_schema,
)
from collector.decode.sampling import RequestSampler
from collector.decode.stream_table import Stream, StreamTable, request_head, response_head
from collector.decode.trace_columns import find_traces, traces_of
from collector.row_groups import group_rows

HTTP = "http"  # read in columns; all others by one conversation per connection
RESTS_MAX = 4096
TLS_PROBE = "tls_data"


class ExchangeDecoder:
    """Bounded: the connection silent for longest is forgotten first.

    sampler: chooses the requests that become spans; their batches then have the column `details` (object: Request, or
    None where it is not sampled). Without one nothing is sampled.
    """

    def __init__(self, sampler: RequestSampler | None = None) -> None:
        self._sampler = sampler
        self._texts = RequestTexts()
        self._http = HttpExchanges(self._texts)
        self._rests: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._probe = ""
        self._schema = request_schema("", self._texts)
        self._counters: Counter[str] = Counter()
        self._streams = StreamTable(self._counters)

    def decode(self, batch: Batch) -> list[Batch]:
        if not len(batch):
            return []
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
        self._http.fill(source, rows)
        fill_body_sizes(source, rows)
        batch = request_batch(self._schema, rows, owners)
        if self._sampler is not None:
            chosen = self._sampler.choose(rows, find_traces(source["request"], source["request_captured"]))
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
        found: list[tuple[np.void, Request]] = []
        for row, stream in zip(source, streams, strict=True):
            if stream.conversation is None:
                assert stream.protocol is not None
                stream.conversation = stream.protocol.start()
            found += [(row, request) for request in feed_exchange(stream.conversation, row)]
        return self._batch_of(found)

    def _decode_chunks(self, source: Rows) -> list[Batch]:
        found: list[tuple[np.void, Request]] = []
        for row in source:
            found += [(row, request) for request in self._feed_chunk(self._streams.of_chunk(row), row)]
        return self._batch_of(found)

    def _feed_chunk(self, stream: Stream, row: np.void) -> Iterable[Request]:
        side, at, now = Side(int(row["side"])), int(row["position"]), int(row["observed_at"])
        data = row["bytes"][: row["captured"]].tobytes()
        if stream.protocol is None:
            self._counters["unrecognised_chunks"] += 1
            return []
        if stream.conversation is None:
            stream.conversation = stream.protocol.start()
        if stream.positions[side] not in (-1, at):
            self._counters["gaps"] += 1
            stream.conversation.lose(side)
        stream.positions[side] = at + int(row["length"])
        if row["closed"]:
            return stream.conversation.end(now)
        done = list(stream.conversation.feed(side, data, now))
        if len(data) < row["length"]:
            done += stream.conversation.skip(side, int(row["length"]) - len(data), now)
        return done

    def _batch_of(self, found: Sequence[tuple[np.void, Request]]) -> list[Batch]:
        if not found:
            return []
        rows = np.zeros(len(found), self._schema.dtype)
        source = np.array([row for row, _ in found], found[0][0].dtype)
        copy_owner(source, rows)
        for index, (_, request) in enumerate(found):
            self._fill(rows[index], request)
        batch = request_batch(self._schema, rows)
        if self._sampler is not None:
            chosen = self._sampler.choose(rows, traces_of(request.trace_parent for _, request in found))
            rows["sampled"] = chosen
            details = batch.columns["details"] = np.full(len(rows), None, object)
            for place in np.flatnonzero(chosen).tolist():
                details[place] = found[place][1]
        return [batch]

    def _fill(self, row: np.void, request: Request) -> None:
        row["observed_at"] = request.started_at
        row["duration"] = span(request.started_at, request.ended_at)
        row["first_byte"] = span(request.started_at, request.response_started_at)
        row["request_bytes"], row["response_bytes"] = request.request_bytes, request.response_bytes
        row["request_body_bytes"], row["response_body_bytes"] = request.request_body_bytes, request.response_body_bytes
        row["protocol"] = PROTOCOL_NUMBERS.get(request.protocol, 0)
        row["outcome"] = OUTCOME_NUMBERS[request.outcome]
        row["operation"] = self._texts.operations.number(request.operation)
        row["resource"] = self._texts.resources.number(request.resource)
        row["status"] = self._texts.statuses.number(request.status)
        row["error_type"] = self._texts.statuses.number(error_type_at(request, int(row["role"])))
        name_database(row, request, self._texts)


def span(start: int, end: int) -> int:
    return end - start if start and end > start else 0


def fill_times(source: Rows, rows: Rows) -> None:
    """Times, sizes: what the kernel measured, the same for every protocol."""
    rows["observed_at"] = source["request_started_at"]
    rows["duration"] = difference(source["response_ended_at"], source["request_started_at"])
    rows["first_byte"] = difference(source["response_started_at"], source["request_started_at"])
    rows["request_bytes"], rows["response_bytes"] = source["request_bytes"], source["response_bytes"]


def difference(later: Column, earlier: Column) -> Column:
    """0 where `later` is not known."""
    return np.where(later > earlier, later - earlier, 0)


def feed_exchange(conversation: Conversation, row: np.void) -> list[Request]:
    """What an exchange showed of both sides, in order; what was not captured is skipped."""
    asked, answered = request_head(row), response_head(row)
    done = [*conversation.feed(Side.CLIENT, asked, int(row["request_started_at"]))]
    if len(asked) < row["request_bytes"]:
        done += conversation.skip(Side.CLIENT, int(row["request_bytes"]) - len(asked), int(row["request_ended_at"]))
    if row["response_started_at"]:
        done += conversation.feed(Side.SERVER, answered, int(row["response_started_at"]))
        if len(answered) < row["response_bytes"]:
            done += conversation.skip(Side.SERVER, int(row["response_bytes"]) - len(answered), int(row["response_ended_at"]))
    return done
