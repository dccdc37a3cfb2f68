"""Looks containers up as they are seen, in a thread of its own: files of a runtime may lie on a slow disk."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence

from collector.cluster_facts import FactChange, FactSink
from collector.runtimes.description import Description
from collector.runtimes.facts import FactBook
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import IDENTIFIER, Question, ask
from collector.runtimes.runtime_table import describe

log = logging.getLogger(__name__)

# A runtime makes the cgroup before, or after, its files are complete. After the last try the container stays without a name.
PAUSES = (0.0, 0.2, 1.0, 4.0, 15.0)
KNOWN_MAX = 16384
WAITING_MAX = 4096
# Read unless told otherwise: what service.name and its kin are made of.
LABELS = (
    *("com.docker.compose.project", "com.docker.compose.service"),
    *("io.podman.pod.name", "PODMAN_SYSTEMD_UNIT"),
    *("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version"),
)
Due = tuple[float, int, str, str]  # monotonic seconds, tries so far, container, its cgroup's path


class RuntimeLookup:
    """A ContainerLookup. Between `start` and `close` a thread reads; the sink is called from it.

    labels: the allow-list, patterns. Each container is asked for once, until it is released; what is not found is
    counted, not asked for again.
    """

    def __init__(
        self,
        files: HostFiles,
        sink: FactSink,
        labels: Sequence[str] = LABELS,
        pauses: Sequence[float] = PAUSES,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._files, self._sink, self._labels = files, sink, tuple(labels)
        self._pauses, self._now = pauses, now
        self._book = FactBook()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._due: list[Due] = []
        self._released: list[str] = []
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="container-lookup", daemon=True)
        self._outcomes: Counter[str] = Counter()

    def start(self) -> None:
        self._thread.start()

    def close(self, seconds: float = 1.0) -> None:
        """Ends the thread; what still waits is not looked up."""
        with self._change:
            self._closing = True
            self._change.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def want(self, identifier: str, cgroup_path: str) -> None:
        if identifier in self._known or not IDENTIFIER.fullmatch(identifier):
            return
        with self._change:
            if len(self._due) >= WAITING_MAX:
                self._outcomes["overflowed"] += 1
                return
            self._known[identifier] = None
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
            heapq.heappush(self._due, (time.monotonic() + self._pauses[0], 0, identifier, cgroup_path))
            self._change.notify()

    def release(self, identifier: str) -> None:
        with self._change:
            if identifier in self._known:
                del self._known[identifier]
                self._released.append(identifier)
                self._change.notify()

    def counters(self) -> Mapping[str, int]:
        """Containers by what became of their look-up (found; found_late: not at the first try; not_found, overflowed, failed) and
        files that could not be used (unreadable, special, too_large, malformed)."""
        return {**self._outcomes, **self._files.refused}

    def discards(self) -> Mapping[str, int]:
        """Those of the counters that tell of something missing."""
        return {reason: count for reason, count in self.counters().items() if not reason.startswith("found")}

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(self._has_work, self._seconds_to_wait())
                if self._closing:
                    return
                released, self._released = self._released, []
                due = heapq.heappop(self._due) if self._is_due() else None
            try:
                changes = [change for one in released if (change := self._book.strike(one, self._now()))]
                changes += self._look_up(due) if due else []
                if changes:
                    self._sink.learn(changes)
            except Exception:  # the thread must outlive whatever a file or the sink does to it
                log.exception("a container could not be looked up")
                self._outcomes["failed"] += 1

    def _has_work(self) -> bool:
        return self._closing or bool(self._released) or self._is_due()

    def _is_due(self) -> bool:
        return bool(self._due) and self._due[0][0] <= time.monotonic()

    def _seconds_to_wait(self) -> float | None:
        return max(self._due[0][0] - time.monotonic(), 0.0) if self._due else None

    def _look_up(self, due: Due) -> list[FactChange]:
        _, tries, identifier, cgroup_path = due
        question = ask(identifier, cgroup_path, self._files, self._labels)
        found = describe(question, self._files)
        if found is None:
            self._try_again(due)
            return []
        self._outcomes["found_late" if tries else "found"] += 1
        return self._tell(question, found)

    def _tell(self, question: Question, found: Description) -> list[FactChange]:
        """A container that went while it was looked up is told as well, and that it is gone."""
        told = self._book.write(question.identifier, found, question.pod_uid, self._now())
        gone = None if question.identifier in self._known else self._book.strike(question.identifier, self._now())
        return [told] if gone is None else [told, gone]

    def _try_again(self, due: Due) -> None:
        """Unless it was the last try, or the container is gone."""
        _, tries, identifier, cgroup_path = due
        with self._change:
            if tries + 1 < len(self._pauses) and identifier in self._known:
                later = time.monotonic() + self._pauses[tries + 1]
                heapq.heappush(self._due, (later, tries + 1, identifier, cgroup_path))
            else:
                self._outcomes["not_found"] += 1
