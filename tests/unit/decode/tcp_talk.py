"""Segments of one TCP connection, and what a table of streams finds in them."""

from __future__ import annotations

from collections.abc import Iterable

from capture_builder import ACK, FIN, SYN

from collector.decode.tcp_streams import StreamRequest, StreamSegment, TcpStreams

CLIENT, SERVER = (b"\1" * 16, 40000), (b"\2" * 16, 80)
ISN, ISS = 2**32 - 40, 2**32 - 90


class Talk:
    """Segments of one connection, a millisecond apart, in the order in which they are made."""

    def __init__(self, client: tuple[bytes, int] = CLIENT, server: tuple[bytes, int] = SERVER, first: int = ISN) -> None:
        self.ends = (client, server)
        self.next = [first, ISS]
        self.segments: list[StreamSegment] = []

    def send(self, who: int, data: bytes = b"", flags: int = ACK, captured: int = 1 << 20) -> Talk:
        acknowledgement = self.next[1 - who] % 2**32 if flags & ACK else 0
        time = (len(self.segments) + 1) * 1_000_000
        numbers = self.next[who] % 2**32, acknowledgement, flags
        self.segments.append(StreamSegment(time, self.ends[who], self.ends[1 - who], *numbers, data[:captured], len(data)))
        self.next[who] += len(data) + bool(flags & (SYN | FIN))
        return self

    def open(self) -> Talk:
        return self.send(0, flags=SYN).send(1, flags=SYN | ACK).send(0)

    def ask(self, data: bytes, captured: int = 1 << 20) -> Talk:
        return self.send(0, data, captured=captured)

    def answer(self, data: bytes, captured: int = 1 << 20) -> Talk:
        return self.send(1, data, captured=captured)

    def close(self) -> Talk:
        return self.send(0, flags=FIN | ACK).send(1, flags=FIN | ACK).send(0)


def run(segments: Iterable[StreamSegment], streams: TcpStreams | None = None, *, ended: bool = True) -> list[StreamRequest]:
    streams = streams or TcpStreams()
    found = [one for segment in segments for one in streams.add(segment)]
    return found + (streams.end_all() if ended else [])
