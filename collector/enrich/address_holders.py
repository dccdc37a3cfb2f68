"""Who held which address when: intervals, the oldest first, bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from collector.enrich.cluster_objects import FOREVER, Holder

HISTORY = 8  # holders per address that are remembered after they went
CROWD = 64  # holders at a time; whoever has an address with more is not known


class AddressHolders:
    """address: 16 bytes, IPv4 as ::ffff:a.b.c.d.

    Bounded: `maximum` addresses (newcomers are refused and counted), `kept` of those whose holders are all gone.
    """

    def __init__(self, maximum: int = 262_144, kept: int = 16_384) -> None:
        self._maximum, self._kept = maximum, kept
        self._holders: dict[bytes, Holder | tuple[Holder, ...]] = {}
        self._free: OrderedDict[bytes, None] = OrderedDict()
        self._complete_from: dict[bytes, int] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._holders)

    def history(self, address: bytes) -> tuple[Holder, ...]:
        """All that are remembered of that address, in the order in which they were learnt."""
        found = self._holders.get(address, ())
        return found if isinstance(found, tuple) else (found,)

    def complete_from(self, address: bytes) -> int:
        """Before that moment (boot_ns) it may have had holders that are forgotten."""
        return self._complete_from.get(address, 0)

    def add(self, address: bytes, holder: Holder) -> None:
        known = self.history(address)
        if holder in known:
            return
        if not known and len(self._holders) >= self._maximum:
            self.refused += 1
            return
        if len(known) >= HISTORY:
            known = self._forget_oldest(address, known)
        if len(known) >= CROWD:
            self.refused += 1
            self._complete_from[address] = FOREVER
            return
        self._holders[address] = (*known, holder) if known else holder
        self._free.pop(address, None)

    def drop(self, address: bytes, holder: Holder) -> None:
        """As if it had never held the address."""
        left = tuple(one for one in self.history(address) if one is not holder)
        if not left:
            self._holders.pop(address, None)
            self._free.pop(address, None)
            self._complete_from.pop(address, None)
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
            self._complete_from.pop(address, None)

    def _forget_oldest(self, address: bytes, holders: tuple[Holder, ...]) -> tuple[Holder, ...]:
        """Of those that went, if they are too many."""
        gone = [one for one in holders if one.until != FOREVER]
        if len(gone) < HISTORY:
            return holders
        oldest = min(gone, key=lambda one: one.until)
        self._complete_from[address] = max(self.complete_from(address), oldest.until)
        return tuple(one for one in holders if one is not oldest)
