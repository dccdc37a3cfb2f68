"""The connections that carry requests: which protocol each speaks, and what the kernel is to do with it."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from collector.batch import RowGroups, Rows
from collector.decode.decision import Decision
from collector.decode.http_exchanges import many_requests_in
from collector.decode.protocol_table import KnownProtocol, recognise
from collector.decode.request import Conversation, Side

STREAMS_MAX = 65_536
BEGINNINGS_MAX = 4096
TRIES_MAX = 4  # exchanges that nobody recognises before the kernel is told to look away
# enum stream_mode
EXCHANGES, CHUNKS, IGNORED = 1, 2, 3
ENDED = 2  # enum exchange_end: the connection closed
IDLE_NS = 600_000_000_000
ANYWHERE = (-1, -1)


class Beginning(NamedTuple):
    """What the first bytes of both sides say. pipelined: the client did not wait for its answers."""

    protocol: KnownProtocol | None
    pipelined: bool


@dataclass(slots=True)
class Stream:
    """One connection. protocol: None while unknown. conversation: its parser, for protocols that are not read in columns.

    keep_texts: sanitised texts of its queries are wanted. positions: by side, the byte that the next chunk must begin with,
    -1 any.
    """

    protocol: KnownProtocol | None = None
    conversation: Conversation | None = None
    tries: int = 0
    seen_at: int = 0
    positions: tuple[int, int] = ANYWHERE
    keep_texts: bool = False

    def expect(self, side: Side, position: int) -> None:
        """Its next chunk begins there."""
        before = self.positions
        self.positions = (position, before[1]) if side is Side.CLIENT else (before[0], position)

    def converse(self) -> Conversation:
        """The parser, begun at the first need; the protocol must be known."""
        if self.conversation is None:
            assert self.protocol is not None
            start = self.protocol.start_with_texts if self.keep_texts else None
            self.conversation = (start or self.protocol.start)()
        return self.conversation


class StreamTable:
    """Bounded: of more than `maximum` the one silent for longest is forgotten first; connections that closed go at once."""

    def __init__(self, counters: Counter[str], *, keep_texts: bool = False, maximum: int = STREAMS_MAX) -> None:
        self._keep_texts, self._maximum = keep_texts, maximum
        self._streams: OrderedDict[int, Stream] = OrderedDict()
        self._beginnings: dict[tuple[bytes, bytes], Beginning] = {}
        self._decisions: list[Decision] = []
        self._counters = counters

    def of_exchanges(self, source: Rows, owners: RowGroups) -> Sequence[Stream]:
        """The stream of each owner; recognised by these exchanges where it is not yet."""
        first, inverse = owners
        flows = source["flow"][first]
        seen_at = source["request_started_at"][first].tolist()
        ending = np.zeros(len(flows), bool)
        ending[inverse[source["end"] == ENDED]] = True
        streams = []
        for place, flow in enumerate(flows.tolist()):
            stream = self._streams.get(flow)
            if stream is None:
                stream = Stream(keep_texts=self._keep_texts)
            if stream.protocol is None and stream.tries < TRIES_MAX:
                self._recognise(flow, stream, source[first[place]], told=not ending[place])
                if stream.protocol is None:
                    self._try_others(flow, stream, source[inverse == place][1:], told=not ending[place])
            self._keep(flow, stream, seen_at[place], ended=bool(ending[place]))
            streams.append(stream)
        return streams

    def of_chunk(self, row: np.void) -> Stream:
        """The stream of a socket_chunk, recognised by its side's bytes where it is not yet."""
        flow = int(row["flow"])
        stream = self._streams.get(flow) or Stream(keep_texts=self._keep_texts)
        data = row["bytes"][: row["captured"]].tobytes()
        if stream.protocol is None and data:
            stream.protocol = recognise(data, b"") if int(row["side"]) == Side.CLIENT else recognise(b"", data)
        self._keep(flow, stream, int(row["observed_at"]), ended=bool(row["closed"]))
        return stream

    def _keep(self, flow: int, stream: Stream, seen_at: int, *, ended: bool) -> None:
        if ended:
            self._streams.pop(flow, None)
            return
        stream.seen_at = seen_at
        self._streams[flow] = stream
        self._streams.move_to_end(flow)

    def _try_others(self, flow: int, stream: Stream, rows: Rows, *, told: bool) -> None:
        """The first exchange of a connection may be a login that says too little: the next ones of the same batch are asked."""
        for row in rows[: TRIES_MAX - stream.tries]:
            if stream.protocol is None:
                self._recognise(flow, stream, row, told=told)

    def _recognise(self, flow: int, stream: Stream, row: np.void, *, told: bool) -> None:
        """told: the kernel is to hear of it; it need not, of a connection that has ended."""
        beginning = self._beginning(request_head(row), response_head(row))
        stream.protocol = beginning.protocol
        stream.tries += 1
        self._counters["pipelined"] += beginning.pipelined
        if stream.protocol is None and stream.tries == TRIES_MAX:
            self._counters["unrecognised_streams"] += 1
            self._decisions.append(Decision(flow, IGNORED))
        elif stream.protocol is not None and told:
            self._decisions.append(Decision(flow, CHUNKS if beginning.pipelined else EXCHANGES))

    def _beginning(self, asked: bytes, answered: bytes) -> Beginning:
        """Many connections begin alike."""
        known = self._beginnings.get((asked, answered))
        if known is None:
            if len(self._beginnings) >= BEGINNINGS_MAX:
                self._beginnings.clear()
            protocol = recognise(asked, answered)
            pipelined = protocol is not None and protocol.name == "http" and many_requests_in(asked)
            known = self._beginnings[asked, answered] = Beginning(protocol, pipelined)
        return known

    def take_decisions(self) -> list[Decision]:
        taken, self._decisions = self._decisions, []
        return taken

    def forget_silent(self, now_boot_ns: int) -> None:
        while self._streams:
            flow, stream = next(iter(self._streams.items()))
            if len(self._streams) <= self._maximum and now_boot_ns - stream.seen_at < IDLE_NS:
                break
            del self._streams[flow]
            self._counters["streams_forgotten"] += 1


def request_head(row: np.void) -> bytes:
    head: bytes = row["request"][: row["request_captured"]].tobytes()
    return head


def response_head(row: np.void) -> bytes:
    head: bytes = row["response"][: row["response_captured"]].tobytes()
    return head
