"""One HTTP/1.1 connection to the API server: h11 over asyncio's streams, with as little between them as can be."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import h11

CONNECT_SECONDS = 10.0
READ_BYTES = 1 << 18
# A peer that vanished without a word is noticed after about a minute, however seldom a watch has news.
SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


@dataclass(frozen=True, slots=True)
class Address:
    """server_name: the name that the certificate must have."""

    host: str
    port: int
    server_name: str


@dataclass(slots=True)
class HttpConnection:
    """Requests one after another. used_at: monotonic s of the last answer's end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float = 0.0
    _state: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    async def send(self, target: str, headers: Sequence[tuple[str, str]]) -> None:
        """A GET request."""
        self.writer.write(self._state.send(h11.Request(method="GET", target=target, headers=list(headers))) or b"")
        self.writer.write(self._state.send(h11.EndOfMessage()) or b"")
        await self.writer.drain()

    async def receive_head(self, silence: float) -> h11.Response:
        """TimeoutError after so many seconds; h11.RemoteProtocolError or OSError when the connection breaks."""
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(silence):
                    self._state.receive_data(await self.reader.read(READ_BYTES))
            elif isinstance(event, h11.Response):
                return event

    async def receive_body(self, silence: float) -> AsyncIterator[bytes]:
        """All that a read brought is one piece, however many chunks it came in. Errors as receive_head."""
        pieces: list[bytes] = []
        while True:
            event = self._state.next_event()
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
                continue
            if pieces:
                yield b"".join(pieces)
                pieces = []
            if isinstance(event, h11.EndOfMessage):
                self._finish()
                return
            async with asyncio.timeout(silence):
                self._state.receive_data(await self.reader.read(READ_BYTES))

    def _finish(self) -> None:
        self.used_at = time.monotonic()
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()

    @property
    def reusable(self) -> bool:
        return self._state.our_state is h11.IDLE and not self.reader.at_eof()

    def close(self) -> None:
        """At once: the other side learns it from the socket."""
        self.writer.transport.abort()


async def connect(address: Address, tls: ssl.SSLContext) -> HttpConnection:
    """TimeoutError, ssl.SSLError or OSError when it cannot be made."""
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(
            address.host, address.port, ssl=tls, server_hostname=address.server_name, limit=READ_BYTES
        )
    connected = writer.get_extra_info("socket")
    for level, option, value in SOCKET_OPTIONS:
        with suppress(OSError):  # it works without, only less well
            connected.setsockopt(level, option, value)
    return HttpConnection(reader, writer)
