"""What is known of one kind of object, so that only news reach the sink and what vanished can be told after a relist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from collector.cluster_facts import Fact, FactChange, FactSink
from collector.kubernetes.watch_book import WatchBook

MOST_AT_ONCE = 500


def as_it_is(fact: Fact) -> Fact:
    return fact


@dataclass(slots=True)
class KnownObjects:
    """wall_ns: the time in unix ns. complete: adds to a fact what other requests found. limit: objects kept."""

    sink: FactSink
    book: WatchBook
    wall_ns: Callable[[], int]
    limit: int
    complete: Callable[[Fact], Fact] = as_it_is
    _facts: dict[str, Fact] = field(default_factory=dict)
    _waiting: list[FactChange] = field(default_factory=list)
    _first: bool = True

    def learn(self, fact: Fact) -> None:
        """It is now so. What does not change a fact (most updates of an object's status) goes no further."""
        fact = self.complete(fact)
        known = self._facts.get(fact.uid)
        if known == fact:
            self.book.events["unchanged"] += 1
            return
        if known is None and len(self._facts) >= self.limit:
            self.book.events["over_limit"] += 1
            return
        self._facts[fact.uid] = fact
        self._tell(FactChange(fact, self._now()))

    def lose(self, fact: Fact) -> None:
        """It is no more."""
        if self._facts.pop(fact.uid, None) is not None:
            self._tell(FactChange(self.complete(fact), self._now(), gone=True))

    def keep_only(self, seen: set[str]) -> None:
        """A complete answer had these UIDs; whatever else was known has vanished while nobody told us."""
        for uid in [uid for uid in self._facts if uid not in seen]:
            self._tell(FactChange(self._facts.pop(uid), self._now(), gone=True))
        self.flush()
        self._first = False

    def renew(self, uid: str) -> None:
        """Completes that fact again: something was found for it."""
        fact = self._facts.get(uid)
        if fact is not None:
            self.learn(fact)

    def flush(self) -> None:
        """What was learnt since the last call goes to the sink."""
        self.book.objects = len(self._facts)
        if self._waiting:
            changes, self._waiting = self._waiting, []
            self.sink.learn(changes)

    def _tell(self, change: FactChange) -> None:
        self._waiting.append(change)
        if len(self._waiting) >= MOST_AT_ONCE:
            self.flush()

    def _now(self) -> int:
        """0 in the first complete answer: those objects were there before we looked."""
        return 0 if self._first else self.wall_ns()
