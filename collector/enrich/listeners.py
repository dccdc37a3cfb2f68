"""The listening sockets of this node: who would answer at an address and port."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from collector.workload import UNKNOWN

ANY_IPV4 = bytes(10) + b"\xff\xff" + bytes(4)
ANY_IPV6 = bytes(16)
MAPPED_PREFIX = bytes(10) + b"\xff\xff"
PLACES = 64  # network namespaces with the same address; more than one is ambiguous anyway
SWEEP_NS = 1_000_000_000  # looking through everything for what is stale is done no more often


class Found(NamedTuple):
    """since: connections opened earlier were not to this socket (boot_ns; 0: it is older than the agent)."""

    number: int
    since: int


NOBODY = Found(UNKNOWN, 0)


@dataclass(slots=True)
class Listener:
    number: int
    seen_at: int
    since: int


@dataclass(slots=True)
class Listeners:
    """Bounded: `maximum` sockets and as many addresses; what was not seen for `fresh_ns` does not count."""

    maximum: int
    fresh_ns: int
    count: int = 0
    refused: int = 0
    _swept_at: int = -SWEEP_NS
    _by_port: dict[tuple[str, int], dict[tuple[int, bytes], Listener]] = field(default_factory=dict)
    _holders: dict[bytes, dict[int, int]] = field(default_factory=dict)

    def ports(self, protocol: str) -> list[int]:
        """All ports with a listener."""
        return [port for known_protocol, port in self._by_port if known_protocol == protocol]

    def add(self, protocol: str, netns: int, address: bytes, port: int, number: int, now: int, since: int = 0) -> None:
        """A socket of workload `number` listens there at `now` (boot_ns), and has done so since `since`; 0: not known."""
        sockets = self._by_port.setdefault((protocol, port), {})
        known = sockets.get((netns, address))
        if known is not None:
            same = number in (UNKNOWN, known.number)  # several sockets may share a place, one of each worker
            known.since = min(known.since, since) if same else since
            known.number, known.seen_at = number or known.number, now
            return
        if self.count >= self.maximum:
            self._sweep(now)
        if self.count >= self.maximum:
            self.refused += 1
            return
        sockets[(netns, address)] = Listener(number, now, since)
        self.count += 1

    def remove(self, protocol: str, netns: int, address: bytes, port: int) -> None:
        sockets = self._by_port.get((protocol, port), {})
        if sockets.pop((netns, address), None) is not None:
            self.count -= 1
        if not sockets:
            self._by_port.pop((protocol, port), None)

    def hold(self, netns: int, address: bytes, now: int) -> None:
        """A socket in `netns` uses `address` as its own: that is where packets to it are delivered."""
        if address not in self._holders and len(self._holders) >= self.maximum:
            self._sweep(now)
        places = self._holders.get(address)
        if places is None and len(self._holders) < self.maximum:
            places = self._holders[address] = {}
        if places is None or (len(places) >= PLACES and netns not in places):
            self.refused += 1
        else:
            places[netns] = now

    def find(self, protocol: str, netns: int, address: bytes, port: int, *, loopback: bool, now: int) -> Found:
        """Who listens at `address` and `port` as seen from `netns`; NOBODY when nobody does, or more than one could be meant."""
        sockets = self._by_port.get((protocol, port))
        if not sockets:
            return NOBODY
        places = {netns} if loopback else self._places(netns, address, now)
        found = {one for place in places for one in self._answering(sockets, place, address, now)}
        numbers = {one.number for one in found}
        return Found(numbers.pop(), max(one.since for one in found)) if len(numbers) == 1 else NOBODY

    def _places(self, netns: int, address: bytes, now: int) -> set[int]:
        """Network namespaces that the address leads to: the own one if it has it, otherwise every one that has."""
        holders = {place for place, seen_at in self._holders.get(address, {}).items() if seen_at + self.fresh_ns >= now}
        return {netns} if netns in holders else holders

    def _answering(self, sockets: dict[tuple[int, bytes], Listener], netns: int, address: bytes, now: int) -> set[Found]:
        """A socket bound to the very address comes before those bound to all."""
        wildcards = (ANY_IPV4, ANY_IPV6) if address.startswith(MAPPED_PREFIX) else (ANY_IPV6,)
        for addresses in ((address,), wildcards):
            listeners = [sockets[(netns, one)] for one in addresses if (netns, one) in sockets]
            found = {Found(one.number, one.since) for one in listeners if one.seen_at + self.fresh_ns >= now}
            if found:
                return found
        return set()

    def _sweep(self, now: int) -> None:
        """Forgets what is stale."""
        if now - self._swept_at < SWEEP_NS:
            return
        self._swept_at = now
        for (protocol, port), sockets in list(self._by_port.items()):
            for (netns, address), listener in list(sockets.items()):
                if listener.seen_at + self.fresh_ns < now:
                    self.remove(protocol, netns, address, port)
        for address, places in list(self._holders.items()):
            fresh = {netns: seen_at for netns, seen_at in places.items() if seen_at + self.fresh_ns >= now}
            if fresh:
                self._holders[address] = fresh
            else:
                del self._holders[address]
