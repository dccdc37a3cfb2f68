"""What an API server keeps: objects with resource versions, and a history of changes that ends somewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Resource:
    """prefix: of the path, up to the version. namespaced: whether paths may name a namespace."""

    name: str
    kind: str
    prefix: str
    api_version: str
    namespaced: bool = True


RESOURCES = {
    resource.name: resource
    for resource in (
        Resource("pods", "Pod", "/api/v1", "v1"),
        Resource("services", "Service", "/api/v1", "v1"),
        Resource("nodes", "Node", "/api/v1", "v1", namespaced=False),
        Resource("namespaces", "Namespace", "/api/v1", "v1", namespaced=False),
        Resource("endpointslices", "EndpointSlice", "/apis/discovery.k8s.io/v1", "discovery.k8s.io/v1"),
        Resource("replicasets", "ReplicaSet", "/apis/apps/v1", "apps/v1"),
        Resource("jobs", "Job", "/apis/batch/v1", "batch/v1"),
    )
}


@dataclass(frozen=True)
class Stored:
    """encoded: the object as JSON without kind and apiVersion, as lists have it. node: its spec.nodeName."""

    version: int
    encoded: bytes
    node: str

    @property
    def object(self) -> Object:
        decoded: Object = json.loads(self.encoded)
        return decoded


@dataclass(frozen=True)
class Change:
    """before, now: None when there was, or is, no such object. version: when."""

    version: int
    before: Stored | None
    now: Stored | None
    last: Stored


@dataclass(frozen=True)
class Snapshot:
    version: int
    objects: dict[str, dict[Key, Stored]]


Selector = Callable[[Stored], bool]


@dataclass
class ClusterStore:
    """Every put or delete gives the next resource version, one count for all resources, as etcd does.

    oldest: a watch that starts before it gets 410 Gone; forgotten: one that runs and has not come so far, too. Whoever waits for
    changes waits on `changed`.
    """

    version: int = 1000
    oldest: int = 0
    forgotten: int = 0
    kept_changes: int = 100_000
    objects: dict[str, dict[Key, Stored]] = field(default_factory=lambda: {name: {} for name in RESOURCES})
    changes: dict[str, list[Change]] = field(default_factory=lambda: {name: [] for name in RESOURCES})
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, resource: str, body: Object) -> None:
        """Adds or replaces; the body is not kept, only what it says now."""
        key = key_of(body)
        with self.changed:
            self.version += 1
            metadata = {**body["metadata"], "resourceVersion": str(self.version)}
            rest = {name: value for name, value in body.items() if name not in {"kind", "apiVersion", "metadata"}}
            encoded = json.dumps({"metadata": metadata, **rest}, separators=(",", ":")).encode()
            now = Stored(self.version, encoded, str(body.get("spec", {}).get("nodeName", "")))
            before = self.objects[resource].get(key)
            self.objects[resource][key] = now
            self._remember(resource, Change(self.version, before, now, now))

    def delete(self, resource: str, namespace: str, name: str) -> None:
        """KeyError when there is no such object."""
        with self.changed:
            self.version += 1
            before = self.objects[resource].pop((namespace, name))
            last = before.object
            last["metadata"]["resourceVersion"] = str(self.version)
            gone = Stored(self.version, json.dumps(last, separators=(",", ":")).encode(), before.node)
            self._remember(resource, Change(self.version, before, None, gone))

    def _remember(self, resource: str, change: Change) -> None:
        history = self.changes[resource]
        history.append(change)
        if len(history) > self.kept_changes:
            del history[: self.kept_changes // 2]
            self.oldest = max(self.oldest, history[0].version - 1)
        self.changed.notify_all()

    def forget_history(self) -> None:
        """Versions older than now are gone, as after a compaction or a restart of the API server."""
        with self.changed:
            self.forgotten = self.version
            self.version += 1
            self.oldest = self.version
            for history in self.changes.values():
                history.clear()

    def snapshot(self) -> Snapshot:
        with self.changed:
            return Snapshot(self.version, {name: dict(found) for name, found in self.objects.items()})

    def restore(self, kept: Snapshot) -> None:
        """As etcd from a snapshot: everything is as it was, the versions too; what came later never happened."""
        with self.changed:
            self.version, self.oldest, self.forgotten = kept.version, 0, 0
            self.objects = {name: dict(found) for name, found in kept.objects.items()}
            for history in self.changes.values():
                history.clear()
            self.changed.notify_all()

    def list(
        self, resource: str, chosen: Selector, after: Key = ("", ""), limit: int = 0
    ) -> tuple[list[Stored], int, Key | None]:
        """(objects in the order of their keys, version, key to go on after or None)."""
        with self.changed:
            found = self.objects[resource]
            keys = sorted(key for key in found if key > after and chosen(found[key]))
            page = keys[:limit] if limit else keys
            return [found[key] for key in page], self.version, page[-1] if len(page) < len(keys) else None

    def since(self, resource: str, version: int, chosen: Selector) -> Iterator[tuple[int, str, Stored]]:
        """(version, event type, object) of later changes, as a watcher with that selector sees them. The lock is held."""
        history = self.changes[resource]
        start = len(history)
        while start and history[start - 1].version > version:
            start -= 1
        for change in history[start:]:
            was = change.before is not None and chosen(change.before)
            fits = change.now is not None and chosen(change.now)
            if fits:
                yield change.version, "MODIFIED" if was else "ADDED", change.last
            elif was:
                yield change.version, "DELETED", change.last


def key_of(body: Object) -> Key:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]
