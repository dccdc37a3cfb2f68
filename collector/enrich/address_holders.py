"""Who held which address when: intervals, the oldest first, bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from collector.enrich.cluster_objects import FOREVER, Holder

HISTORY = 8  # holders per address that are remembered


class AddressHolders:
    """address: 16 bytes, IPv4 as ::ffff:a.b.c.d.

    Bounded: `maximum` addresses (newcomers are refused and counted), `kept` of those whose holders are all gone.
    """

    def __init__(self, maximum: int = 262_144, kept: int = 16_384) -> None:
        self._maximum, self._kept = maximum, kept
        self._holders: dict[bytes, Holder | tuple[Holder, ...]] = {}
        self._free: OrderedDict[bytes, None] = OrderedDict()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._holders)

    def history(self, address: bytes) -> tuple[Holder, ...]:
        """All that are remembered of that address, in the order in which they were learnt."""
        found = self._holders.get(address, ())
        return found if isinstance(found, tuple) else (found,)

    def add(self, address: bytes, holder: Holder) -> None:
        known = self.history(address)
        if holder in known:
            return
        if not known and len(self._holders) >= self._maximum:
            self.refused += 1
            return
        while len(known) >= HISTORY:
            known = without_oldest(known)
        self._holders[address] = (*known, holder) if known else holder
        self._free.pop(address, None)

    def drop(self, address: bytes, holder: Holder) -> None:
        """As if it had never held the address."""
        left = tuple(one for one in self.history(address) if one is not holder)
        if not left:
            self._holders.pop(address, None)
            self._free.pop(address, None)
        else:
            self._holders[address] = left[0] if len(left) == 1 else left

    def settle(self, addresses: Iterable[bytes]) -> None:
        """A holder of these has gone: addresses without any other are forgotten in time."""
        for address in addresses:
            if address in self._holders and all(one.until != FOREVER for one in self.history(address)):
                self._free[address] = None
                self._free.move_to_end(address)
        while len(self._free) > self._kept:
            address, _ = self._free.popitem(last=False)
            del self._holders[address]


def without_oldest(holders: tuple[Holder, ...]) -> tuple[Holder, ...]:
    """Those that are gone make room first."""
    gone = next((place for place, one in enumerate(holders) if one.until != FOREVER), 0)
    return holders[:gone] + holders[gone + 1 :]
