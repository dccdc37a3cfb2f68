"""Services, the endpoints of services that are no pods, and nodes; and when each had its addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from collector.enrich.address_holders import AddressHolders
from collector.enrich.cluster_objects import FOREVER, KnownEndpoints, KnownNode, KnownService

Kept = KnownService | KnownEndpoints | KnownNode


class Told(Protocol):
    def __call__(self, addresses: Sequence[bytes] | None, /) -> None: ...


@dataclass(slots=True)
class ServiceTable:
    """Bounded: of more than `maximum` newcomers are refused and counted.

    Times are boot_ns. on_address: told of addresses whose holders or their times are others now, None for all nodes'.
    """

    holders: AddressHolders
    maximum: int
    on_address: Told
    refused: int = 0
    _kept: dict[str, Kept] = field(default_factory=dict)
    _services: dict[tuple[str, str], KnownService] = field(default_factory=dict)
    _node_ports: dict[tuple[str, int], tuple[KnownService, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, uid: str) -> Kept | None:
        return self._kept.get(uid)

    def named(self, namespace: str, name: str) -> KnownService | None:
        return self._services.get((namespace, name))

    def at_node_port(self, protocol: str, port: int) -> tuple[KnownService, ...]:
        """Services that every node answers for at that port."""
        return self._node_ports.get((protocol, port), ())

    def without_endpoint(self, uids: frozenset[str]) -> set[str]:
        """Which of these pods stand behind no service."""
        named: set[str] = set()
        for one in self._kept.values() if uids else ():
            if isinstance(one, KnownEndpoints):
                named |= one.pods & uids
        return set(uids) - named

    def learn(self, kept: Kept, at: int) -> None:
        """It is now so; the time for which it has had its addresses goes on if these are the same."""
        known = self._kept.get(kept.uid)
        if known is None and len(self._kept) >= self.maximum:
            self.refused += 1
            return
        if known is not None and same_place(known, kept):
            kept.since = known.since
            for address in known.addresses:
                self.holders.drop(address, known)
        if known is not None:
            self._take_out(known, at)
        self._kept[kept.uid] = kept
        for address in kept.addresses:
            self.holders.add(address, kept)
        if isinstance(kept, KnownService):
            self._services[kept.namespace, kept.name] = kept
            for place in kept.node_ports:
                self._node_ports[place] = (*self._node_ports.get(place, ()), kept)
        self._tell(kept)

    def lose(self, uid: str, at: int) -> Kept | None:
        """It is no more; what it was."""
        known = self._kept.pop(uid, None)
        if known is not None:
            self._take_out(known, at)
        return known

    def _take_out(self, known: Kept, at: int) -> None:
        if known.until == FOREVER:
            known.until = max(at, known.since)
        self.holders.settle(known.addresses)
        self._tell(known)
        if not isinstance(known, KnownService):
            return
        if self._services.get((known.namespace, known.name)) is known:
            del self._services[known.namespace, known.name]
        for place in known.node_ports:
            self._node_ports[place] = tuple(one for one in self._node_ports[place] if one is not known)
            if not self._node_ports[place]:
                del self._node_ports[place]

    def _tell(self, kept: Kept) -> None:
        self.on_address(kept.addresses)
        if isinstance(kept, KnownService) and kept.node_ports:
            self.on_address(None)


def same_place(known: Kept, kept: Kept) -> bool:
    """Whether the two answer at the same addresses and ports."""
    return place_of(known) == place_of(kept)


def place_of(kept: Kept) -> tuple[object, ...]:
    ports = frozenset() if isinstance(kept, KnownNode) else kept.ports
    return type(kept), kept.addresses, ports
