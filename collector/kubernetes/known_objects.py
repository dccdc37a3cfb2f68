"""What is known of one kind of object, so that only news reach the sink and what vanished can be told after a relist.

Of each object only its UID and a 64-bit hash of what was told are kept: the sink has the rest, in its own form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from collector.cluster_facts import ClusterNode, EndpointSlice, FactChange, FactSink, Pod, Service
from collector.kubernetes.watch_book import WatchBook

MOST_AT_ONCE = 500

ClusterObject = Pod | Service | EndpointSlice | ClusterNode


def as_it_is(fact: ClusterObject) -> ClusterObject:
    return fact


@dataclass(slots=True)
class KnownObjects:
    """vanished: a fact of this kind with nothing but its UID. wall_ns: the time in unix ns. limit: objects kept.
    complete: adds to a fact what other requests found.
    """

    sink: FactSink
    book: WatchBook
    vanished: Callable[[str], ClusterObject]
    wall_ns: Callable[[], int]
    limit: int
    complete: Callable[[ClusterObject], ClusterObject] = as_it_is
    _told: dict[str, int] = field(default_factory=dict)
    _waiting: list[FactChange] = field(default_factory=list)
    _first: bool = True

    def learn(self, fact: ClusterObject) -> None:
        """It is now so. What does not change a fact (most updates of an object's status) goes no further."""
        fact = self.complete(fact)
        mark, known = fingerprint(fact), self._told.get(fact.uid)
        if known == mark:
            self.book.events["unchanged"] += 1
            return
        if known is None and len(self._told) >= self.limit:
            self.book.events["over_limit"] += 1
            return
        self._told[fact.uid] = mark
        self._tell(FactChange(fact, self._now()))

    def lose(self, fact: ClusterObject) -> None:
        """It is no more."""
        if self._told.pop(fact.uid, None) is not None:
            self._tell(FactChange(fact, self._now(), gone=True))

    def keep_only(self, seen: set[str]) -> None:
        """A complete answer had these UIDs; whatever else was known has vanished while nobody told us."""
        for uid in [uid for uid in self._told if uid not in seen]:
            del self._told[uid]
            self._tell(FactChange(self.vanished(uid), self._now(), gone=True))
        self.flush()
        self._first = False

    def renew(self, fact: ClusterObject) -> None:
        """Something was found that completes it, unless it went meanwhile."""
        if fact.uid in self._told:
            self.learn(fact)

    def flush(self) -> None:
        """What was learnt since the last call goes to the sink."""
        self.book.objects = len(self._told)
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


def fingerprint(fact: ClusterObject) -> int:
    """Equal for equal facts of one process; two that differ share one with a chance of 2 to the -64."""
    if not isinstance(fact, Pod):
        return hash(fact)
    fixed = (fact.uid, fact.name, fact.namespace, fact.node, fact.addresses, fact.host_network, fact.owners, fact.containers)
    chosen = (frozenset(fact.labels.items()), frozenset(fact.annotations.items()))
    return hash((fixed, chosen, fact.started_at, fact.finished, fact.mirror_uid))
