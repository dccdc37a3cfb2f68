"""All watches of one agent, on one thread with one asyncio loop."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from collector.cluster_facts import FactSink, Pod
from collector.cluster_status import WatchState, WatchStatus
from collector.kubernetes.access import ApiAccess
from collector.kubernetes.api_client import ApiClient
from collector.kubernetes.backoff import Backoff
from collector.kubernetes.fact_reading import AllowList
from collector.kubernetes.known_objects import KnownObjects
from collector.kubernetes.owner_lookup import OwnerLookup
from collector.kubernetes.pod_reading import PodReader
from collector.kubernetes.reflector import Pace, Reflector
from collector.kubernetes.resource_kinds import Peers, ResourceKind, kinds_to_watch
from collector.kubernetes.watch_book import WatchBook

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """node: this one's name in the cluster. limit: objects kept of each kind."""

    node: str
    peers: Peers = "services"
    labels: AllowList = field(default_factory=AllowList)
    annotations: AllowList = field(default_factory=AllowList)
    limit: int = 200_000
    user_agent: str = "honeyguide"


class ClusterWatch:
    """start and stop once each, from any thread; `sink.learn` is called on the watch's own thread."""

    def __init__(
        self, access: ApiAccess, options: WatchOptions, sink: FactSink, pace: Pace | None = None, seed: int | None = None
    ) -> None:
        self._access = access
        self._options = options
        self._sink = sink
        self._pace = pace or Pace()
        self._chance = random.Random(seed)
        reader = PodReader(options.node, options.labels, options.annotations)
        self._kinds = kinds_to_watch(reader, options.peers)
        self._books = {kind.name: WatchBook(kind.name) for kind in self._kinds}
        self._books |= {name: WatchBook(name, WatchState.SYNCED, watched=False) for name in ("replicasets", "jobs")}
        self._thread = threading.Thread(target=self._run, name="kubernetes", daemon=True)
        self._started = threading.Event()
        self._end: Callable[[], None] | None = None
        self._fault = ""

    def start(self) -> None:
        self._thread.start()
        self._started.wait(10)

    def stop(self, seconds: float = 1.0) -> bool:
        """True when the thread has ended by then."""
        if self._end is not None:
            self._end()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def describe(self) -> str:
        """One line for people."""
        asked = ", ".join(kind.name for kind in self._kinds)
        return f"node {self._options.node}; {asked} from {self._access.server} by {self._access.origin}"

    def statuses(self) -> list[WatchStatus]:
        """A copy of the counts, for any thread."""
        found = [book.status() for book in self._books.values()]
        if self._fault:
            found = [replace(one, state=WatchState.RETRYING, cause=self._fault, remedy="Restart the agent.") for one in found]
        return found

    @property
    def fault(self) -> str:
        """Why the thread ended though nobody stopped it; '' while it runs."""
        return self._fault

    def _run(self) -> None:
        try:
            asyncio.run(self._watch())
        except asyncio.CancelledError:
            return
        except Exception as error:  # names get old, but the agent goes on; health says so
            self._fault = f"The watch over the cluster ended by a fault of ours: {type(error).__name__}."
            log.exception("the watch over the cluster ended")
        finally:
            self._end = None
            self._started.set()

    async def _watch(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def end() -> None:
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:  # the loop has just closed
                return

        self._end = end
        self._started.set()
        async with ApiClient(self._access, self._options.user_agent) as client, asyncio.TaskGroup() as group:
            owners = OwnerLookup(self._options.node, client, self._books, self._pace, self._backoff(), time.time)
            first, *others = (self._reflector(kind, client) for kind in self._kinds)
            first.objects.complete, owners.found = owners.complete, self._renewing(first.objects)
            group.create_task(first.run())
            group.create_task(owners.run())
            for reflector in others:
                group.create_task(self._run_later(reflector))

    async def _run_later(self, reflector: Reflector) -> None:
        """Peers can wait, and a thousand agents that start together should not ask for them together."""
        await asyncio.sleep(self._chance.uniform(0, self._pace.spread))
        await reflector.run()

    def _reflector(self, kind: ResourceKind, client: ApiClient) -> Reflector:
        book = self._books[kind.name]
        objects = KnownObjects(self._sink, book, kind.vanished, time.time_ns, self._options.limit)
        return Reflector(kind, client, objects, book, self._pace, self._backoff())

    def _backoff(self) -> Backoff:
        return Backoff(self._pace.scale, self._chance)

    @staticmethod
    def _renewing(objects: KnownObjects) -> Callable[[Pod], None]:
        def renew(pod: Pod) -> None:
            objects.renew(pod)
            objects.flush()

        return renew
