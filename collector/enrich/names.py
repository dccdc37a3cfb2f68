"""Which name led to an address, and when: learnt from DNS answers seen on this node."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from collector.batch import Batch

HISTORY = 8  # names per address that are remembered
NANOSECONDS = 1_000_000_000


@dataclass(slots=True)
class KnownName:
    """The address had that name from `learnt_at` on; `until` is moved by every new answer. Both boot_ns."""

    learnt_at: int
    until: int
    name: str


class NameTable:
    """Bounded: `maximum` names, those of the address used longest ago go first.

    grace_seconds: how long after its time to live a name still counts. Clients keep addresses far longer than they may
    (connection pools, JVMs), and no name at all helps nobody.
    """

    def __init__(self, maximum: int = 65536, grace_seconds: float = 3600) -> None:
        self._maximum, self._grace_ns = maximum, int(grace_seconds * NANOSECONDS)
        self._names: OrderedDict[bytes, list[KnownName]] = OrderedDict()
        self._held = 0  # names of all addresses
        self.evicted = 0

    def __len__(self) -> int:
        """Addresses with a name."""
        return len(self._names)

    def learn(self, address: bytes, name: str, boot_ns: int, ttl_seconds: int) -> None:
        """address: 16 bytes, IPv4 as ::ffff:a.b.c.d. boot_ns: when the answer was seen; answers may come out of order."""
        known = self._names.setdefault(address, [])
        self._names.move_to_end(address)
        until = boot_ns + ttl_seconds * NANOSECONDS + self._grace_ns
        place = bisect_right(known, boot_ns, key=lambda entry: entry.learnt_at)
        if place and known[place - 1].name == name:
            known[place - 1].until = max(known[place - 1].until, until)
        else:
            self._held -= len(known)
            known.insert(place, KnownName(boot_ns, until, name))
            del known[:-HISTORY]
            self._held += len(known)
        while self._held > self._maximum and len(self._names) > 1:
            _, gone = self._names.popitem(last=False)
            self._held -= len(gone)
            self.evicted += 1

    def history(self, address: bytes) -> Sequence[KnownName]:
        """All that is remembered of that address, the oldest first."""
        known = self._names.get(address)
        if known is None:
            return ()
        self._names.move_to_end(address)
        return known

    def name_of(self, address: bytes, boot_ns: int) -> str | None:
        """The name last learnt before that moment, unless its time was over by then."""
        known = self.history(address)
        place = bisect_right(known, boot_ns, key=lambda entry: entry.learnt_at)
        if not place or known[place - 1].until < boot_ns:
            return None
        return known[place - 1].name

    def observe(self, batch: Batch) -> None:
        """Learns from dns_lookup rows: columns `question` (text) and `answers` (tuples of (16 bytes, TTL in seconds))."""
        if batch.schema.record != "dns_lookup":
            return
        time = "observed_at" if "observed_at" in batch else batch.schema.first_with_meaning("boot_ns")
        moments = batch[time].tolist() if time else [0] * len(batch)
        for moment, question, answers in zip(moments, batch["question"], batch["answers"], strict=True):
            name = question.rstrip(".").lower()
            if not name:
                continue
            for address, ttl in answers:
                self.learn(address, name, moment, ttl)
