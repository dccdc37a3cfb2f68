"""The books: what each probe saw and what became of it. Nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Book:
    """One account of one probe (a line of `enum account` in its C), since the probe was loaded.

    The kernel counts seen, emitted, filtered, sampled and dropped (by reason); user space counts decoded and
    undecodable for accounts whose records come through a ring (`delivered`); missed: runs the kernel skipped because
    the program was already running on that CPU (bpf_prog_info.recursion_misses), not part of seen.
    """

    probe: str
    account: str
    seen: int
    emitted: int
    filtered: int
    sampled: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    delivered: bool = False
    decoded: int = 0
    undecodable: int = 0
    missed: int = 0

    @property
    def lost(self) -> int:
        """Records that never reached the pipeline, for whatever reason."""
        return sum(self.dropped.values()) + self.undecodable + self.missed

    @property
    def balanced(self) -> bool:
        """seen = emitted + filtered + sampled + dropped. True only at rest: the columns are not read at one instant."""
        return self.seen == self.emitted + self.filtered + self.sampled + sum(self.dropped.values())
