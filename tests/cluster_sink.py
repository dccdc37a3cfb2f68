"""A sink that remembers, and a watch over an API server, real or a double, that forgives quickly."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

from api_server_double import ApiServerDouble
from patience import PATIENCE_SECONDS

from collector.cluster_facts import FactChange, Pod
from collector.cluster_status import WatchState, WatchStatus
from collector.kubernetes.access import ApiAccess, in_cluster
from collector.kubernetes.cluster_watch import ClusterWatch, WatchOptions
from collector.kubernetes.known_objects import ClusterObject
from collector.kubernetes.reflector import Pace

# Waits are a fiftieth of what they are in earnest.
QUICK = Pace(silence=20.0, list_silence=20.0, stream=60.0, spread=0.0, scale=0.02)
# For servers that say nothing on purpose; an answer that comes late because the machine is busy counts as none here, too.
IMPATIENT = replace(QUICK, list_silence=0.6)


@dataclass
class RememberingSink:
    """changes: all, in order. now: uid -> what is so."""

    changes: list[FactChange] = field(default_factory=list)
    now: dict[str, ClusterObject] = field(default_factory=dict)
    threads: set[str] = field(default_factory=set)

    def learn(self, changes: Sequence[FactChange]) -> None:
        self.threads.add(threading.current_thread().name)
        for change in changes:
            assert isinstance(change.fact, ClusterObject)
            self.changes.append(change)
            if change.gone:
                del self.now[change.fact.uid]
            else:
                self.now[change.fact.uid] = change.fact

    def names(self, kind: type = Pod) -> set[str]:
        return {fact.name for fact in list(self.now.values()) if isinstance(fact, kind)}

    def named(self, name: str) -> ClusterObject | None:
        return next((fact for fact in list(self.now.values()) if fact.name == name), None)


@dataclass
class Watched:
    watch: ClusterWatch
    sink: RememberingSink

    def status(self, resource: str = "pods") -> WatchStatus:
        return next(one for one in self.watch.statuses() if one.resource == resource)

    def synced(self, resource: str = "pods") -> bool:
        return self.status(resource).state is WatchState.SYNCED


def access_of(cluster: ApiServerDouble) -> ApiAccess:
    """As a pod's service account gives it."""
    host, port = cluster.address.removeprefix("https://").split(":")
    found = in_cluster({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}, cluster.service_account())
    assert found is not None
    return found


def watching(
    cluster: ApiServerDouble, options: WatchOptions | None = None, pace: Pace = QUICK, access: ApiAccess | None = None
) -> AbstractContextManager[Watched]:
    return watching_by(access or access_of(cluster), options or WatchOptions("node-1", "off"), pace)


@contextmanager
def watching_by(access: ApiAccess, options: WatchOptions, pace: Pace = QUICK) -> Iterator[Watched]:
    sink = RememberingSink()
    watch = ClusterWatch(access, options, sink, pace, seed=1)
    watch.start()
    try:
        yield Watched(watch, sink)
    finally:
        assert watch.stop(PATIENCE_SECONDS), "the watch did not end"
        assert watch.fault == ""
