"""From descriptions to facts: a container of a pod makes the pod known, any other one is a fact of its own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from collector.cluster_facts import Container, ContainerFact, FactChange, FactSource, Pod
from collector.runtimes.description import Description

PODS_MAX = 2048


class FactBook:
    """Remembers the pods told so far, so that each is told with all of its containers. Bounded: the oldest pod goes first."""

    def __init__(self, maximum: int = PODS_MAX) -> None:
        self._maximum = maximum
        self._pods: OrderedDict[str, Pod] = OrderedDict()
        self._told: OrderedDict[str, str | ContainerFact] = OrderedDict()  # container -> the pod's UID, or the fact about itself

    def write(self, identifier: str, description: Description, pod_uid: str, now: int) -> FactChange:
        """pod_uid: what the cgroup's path says; ''. A user's own files name no pod but the one that the path names."""
        uid = description.pod_uid or pod_uid
        believed = description.trusted or uid == pod_uid
        if uid and description.pod_name and believed:
            fact: Pod | ContainerFact = self._join(identifier, description, uid)
            self._tell(identifier, uid)
        else:
            name = description.name or description.pod_name
            fact = ContainerFact(
                identifier, name, description.image, description.runtime, description.labels, description.started_at
            )
            self._tell(identifier, fact)
        return FactChange(fact, description.started_at or now, source=FactSource.RUNTIME)

    def strike(self, identifier: str, now: int) -> FactChange | None:
        """The container is gone; with the last one of a pod the pod is. None when nothing was told of it."""
        told = self._told.pop(identifier, None)
        if isinstance(told, ContainerFact):
            return FactChange(told, now, gone=True, source=FactSource.RUNTIME)
        pod = self._pods.get(told or "")
        if pod is None or told in self._told.values():
            return None
        del self._pods[pod.uid]
        return FactChange(pod, now, gone=True, source=FactSource.RUNTIME)

    def _join(self, identifier: str, description: Description, uid: str) -> Pod:
        known = self._pods.get(uid) or Pod(uid, description.pod_name, description.pod_namespace)
        others = tuple(container for container in known.containers if container.identifier != identifier)
        own = () if description.sandbox else (Container(description.name, identifier, description.image),)
        self._pods[uid] = joined = replace(
            known,
            containers=(*others, *own),
            labels=description.labels or known.labels,
            addresses=description.addresses or known.addresses,
        )
        self._pods.move_to_end(uid)
        while len(self._pods) > self._maximum:
            self._pods.popitem(last=False)
        return joined

    def _tell(self, identifier: str, what: str | ContainerFact) -> None:
        self._told[identifier] = what
        while len(self._told) > 4 * self._maximum:
            self._told.popitem(last=False)
