"""TCP connections put together from captured segments, both directions, and what was asked on them.

Holes have a size here, sequence numbers tell it: parsers skip them as they skip what was not captured, and lose their
place only where not even the size is known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from collector.decode.protocol_choice import ProtocolChoice
from collector.decode.request import Conversation, Outcome, Request, Side
from collector.decode.tcp_half_stream import HalfStream, Run, StreamBooks

CONNECTIONS_MAX = 8192
FIN, SYN, RST, ACK = 1, 2, 4, 16
End = tuple[bytes, int]  # address, port


class StreamSegment(NamedTuple):
    """payload: what was captured of `size` bytes. time_ns: when."""

    time_ns: int
    source: End
    destination: End
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes
    size: int


class StreamRequest(NamedTuple):
    """flow: number of the connection, from 1."""

    flow: int
    client: End
    server: End
    request: Request


@dataclass(slots=True)
class Connection:
    """ends: in the order of their addresses; halves: what each of them sends. client: index of who asks, -1 unknown.

    choice: while the protocol is unknown; conversation: when it is known. over: nothing is read any more until it is
    opened again.
    """

    flow: int
    ends: tuple[End, End]
    halves: tuple[HalfStream, HalfStream]
    client: int = -1
    opened_with: int | None = None
    choice: ProtocolChoice | None = None
    conversation: Conversation | None = None
    over: bool = False
    time_ns: int = 0
    requests: list[Request] = field(default_factory=list)


class TcpStreams:
    """Bounded: of CONNECTIONS_MAX connections the one silent for longest is forgotten first."""

    def __init__(self, connections_max: int = CONNECTIONS_MAX) -> None:
        self._connections_max = connections_max
        self._connections: OrderedDict[tuple[End, End], Connection] = OrderedDict()
        self._books = StreamBooks()
        self._flows = 0

    def counters(self) -> Mapping[str, int]:
        """What was left out of streams and conversations, by reason."""
        return self._books.counts

    def add(self, segment: StreamSegment) -> list[StreamRequest]:
        """The requests that this segment finishes."""
        finished: list[StreamRequest] = []
        connection = self._connection(segment, finished)
        connection.time_ns = max(connection.time_ns, segment.time_ns)
        if connection.over:
            self._books.counts["bytes_after_the_end"] += segment.size
        else:
            self._take(connection, int(segment.source != connection.ends[0]), segment)
            finished += collect(connection)
        return finished

    def end_all(self) -> list[StreamRequest]:
        """The capture ends here: whether what is open would have been answered is unknown."""
        finished: list[StreamRequest] = []
        for connection in self._connections.values():
            finished += self._forget(connection)
        self._connections.clear()
        return finished

    def _connection(self, segment: StreamSegment, finished: list[StreamRequest]) -> Connection:
        ends = (min(segment.source, segment.destination), max(segment.source, segment.destination))
        connection = self._connections.get(ends)
        opens = segment.flags & (SYN | ACK) == SYN
        if connection is not None and opens and connection.opened_with != segment.sequence:
            self._end(connection)
            finished += collect(connection)
            connection = None
        if connection is None:
            self._flows += 1
            connection = Connection(self._flows, ends, (HalfStream(self._books), HalfStream(self._books)))
            self._connections[ends] = connection
        self._connections.move_to_end(ends)
        if len(self._connections) > self._connections_max:
            _, oldest = self._connections.popitem(last=False)
            self._books.counts["connections_forgotten"] += not oldest.over
            finished += self._forget(oldest)
        return connection

    def _take(self, connection: Connection, end: int, segment: StreamSegment) -> None:
        half = connection.halves[end]
        start = segment.sequence
        if segment.flags & SYN:
            start += 1
            self._open(connection, end, segment)
        if segment.flags & ACK:
            self._deliver(connection, 1 - end, connection.halves[1 - end].acknowledge(segment.acknowledgement))
        self._deliver(connection, end, half.add(start, segment.payload, segment.size))
        if segment.flags & FIN:
            half.finish(start + segment.size)
        if segment.flags & RST or all(one.ended for one in connection.halves):
            self._end(connection)

    def _open(self, connection: Connection, end: int, segment: StreamSegment) -> None:
        """Who opens asks."""
        connection.client = 1 - end if segment.flags & ACK else end
        if not segment.flags & ACK:
            connection.opened_with = segment.sequence

    def _deliver(self, connection: Connection, end: int, runs: Iterable[Run]) -> None:
        for run in runs:
            if connection.conversation is not None:
                feed(connection, end, run, connection.time_ns)
            else:
                self._choose(connection, end, run)

    def _choose(self, connection: Connection, end: int, run: Run) -> None:
        if connection.choice is None:
            connection.choice = ProtocolChoice(connection.client, guess_server(connection.ends))
        was_open = not connection.choice.given_up
        choice = connection.choice.add(end, run, connection.time_ns)
        if choice is not None:
            connection.client, connection.choice = choice.client, None
            connection.conversation = choice.protocol.start()
            for early in choice.early:
                feed(connection, early.end, early.run, early.time_ns)
        elif was_open and connection.choice.given_up:
            self._books.counts["unrecognised_connections"] += 1

    def _end(self, connection: Connection) -> None:
        """Closed or reset."""
        if connection.over:
            return
        for end, half in enumerate(connection.halves):
            self._deliver(connection, end, half.flush())
            half.forget()
        if connection.conversation is not None:
            connection.requests += connection.conversation.end(connection.time_ns)
            for reason, count in connection.conversation.discarded.items():
                self._books.counts[f"parser_{reason}"] += count
        elif connection.choice is not None and not connection.choice.given_up:
            self._books.counts["unrecognised_connections"] += 1
        connection.over, connection.conversation, connection.choice = True, None, None

    def _forget(self, connection: Connection) -> list[StreamRequest]:
        """It goes on, but not here: no answer until now is not the same as none."""
        self._end(connection)
        unanswered = Outcome.UNANSWERED
        return [
            one._replace(request=replace(one.request, outcome=Outcome.UNKNOWN)) if one.request.outcome is unanswered else one
            for one in collect(connection)
        ]


def feed(connection: Connection, end: int, run: Run, time_ns: int) -> None:
    conversation, side = connection.conversation, Side.CLIENT if end == connection.client else Side.SERVER
    if conversation is None:
        return
    if run.data:
        connection.requests += conversation.feed(side, run.data, time_ns)
    if run.unseen > 0:
        connection.requests += conversation.skip(side, run.unseen, time_ns)
    elif run.unseen:
        conversation.lose(side)


def collect(connection: Connection) -> list[StreamRequest]:
    """Takes what is finished."""
    if not connection.requests:
        return []
    requests, connection.requests = connection.requests, []
    client, server = connection.ends[connection.client], connection.ends[1 - connection.client]
    return [StreamRequest(connection.flow, client, server, request) for request in requests]


def guess_server(ends: tuple[End, End]) -> int:
    """Services have lower ports than those that ask them."""
    return int(ends[1][1] < ends[0][1])
