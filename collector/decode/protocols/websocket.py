"""What follows an upgrade to WebSocket, another protocol or a tunnel: nothing is parsed, bytes are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collector.decode.request import Outcome, Request, Side
from collector.instruments import AttributeValue


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What is known of an upgraded connection from the request that asked for it; started_at: boot_ns of the 101."""

    path: str
    started_at: int
    trace_parent: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


class OpaqueConversation:
    """Counts. At the end a WebSocket connection is one request of protocol `websocket`; tunnels and the rest are none."""

    opaque = True

    def __init__(self, upgrade: Upgrade | None, discarded: dict[str, int]) -> None:
        self.discarded = discarded
        self._upgrade = upgrade
        self._bytes = [0, 0]
        self._first = [0, 0]
        self._last = [0, 0]

    def feed(self, side: Side, data: bytes, time_ns: int) -> Sequence[Request]:
        """Counts and drops."""
        return self.skip(side, len(data), time_ns)

    def skip(self, side: Side, size: int, time_ns: int) -> Sequence[Request]:
        """Counts."""
        self._bytes[side] += size
        self._first[side] = self._first[side] or time_ns
        self._last[side] = time_ns
        return ()

    def lose(self, side: Side) -> None:
        """Nothing to lose but the count."""

    def end(self, time_ns: int) -> Sequence[Request]:
        """The whole connection as one request, when it was a WebSocket."""
        if self._upgrade is None:
            return ()
        upgrade, self._upgrade = self._upgrade, None
        return [
            Request(
                protocol="websocket",
                operation="",
                resource=upgrade.path,
                outcome=Outcome.OK,
                request_bytes=self._bytes[Side.CLIENT],
                response_bytes=self._bytes[Side.SERVER],
                started_at=upgrade.started_at,
                request_ended_at=self._last[Side.CLIENT],
                response_started_at=self._first[Side.SERVER],
                ended_at=time_ns,
                trace_parent=upgrade.trace_parent,
                attributes=upgrade.attributes,
            )
        ]
