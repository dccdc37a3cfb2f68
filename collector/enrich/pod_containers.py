"""Which containers of which pods are on this node now, counted by their cgroups: the first and the last of a pod matter."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.cluster_facts import ContainerLookup
from collector.enrich.cgroup_path import CgroupMeaning
from collector.enrich.pod_table import PodTable

IDENTIFIERS = 131_072  # of pods and containers whose cgroups are counted; the one seen first gives way


@dataclass(slots=True)
class PodContainers:
    """Bounded by IDENTIFIERS. lookup: whom to ask about containers, None for nobody."""

    pods: PodTable
    lookup: ContainerLookup | None = None
    _cgroups_of: dict[str, int] = field(default_factory=dict)

    def add(self, meaning: CgroupMeaning | None, path: str, at: int) -> None:
        """A cgroup of that meaning is there; at: boot_ns."""
        if meaning is None or not meaning.container_id:
            return
        self.want(meaning, path)
        self._enter(meaning.container_id)
        if meaning.pod_uid and self._enter(meaning.pod_uid):
            self.pods.enter(meaning.pod_uid, at)

    def want(self, meaning: CgroupMeaning, path: str) -> None:
        """It would be good to know more of that container."""
        if self.lookup is not None and meaning.container_id:
            self.lookup.want(meaning.container_id, path)

    def remove(self, meaning: CgroupMeaning | None, at: int) -> None:
        """A cgroup that was added is gone. A container may make and remove cgroups below its own."""
        if meaning is None or not meaning.container_id:
            return
        if self._leave(meaning.container_id) and self.lookup is not None:
            self.lookup.release(meaning.container_id)
        if self._leave(meaning.pod_uid):
            self.pods.leave(meaning.pod_uid, at)

    def _enter(self, identifier: str) -> bool:
        """One more cgroup of that container or pod: whether it is the first."""
        count = self._cgroups_of[identifier] = self._cgroups_of.get(identifier, 0) + 1
        if len(self._cgroups_of) > IDENTIFIERS:
            del self._cgroups_of[next(iter(self._cgroups_of))]
        return count == 1

    def _leave(self, identifier: str) -> bool:
        """One cgroup less: whether it was the last."""
        count = self._cgroups_of.get(identifier, 0)
        if count > 1:
            self._cgroups_of[identifier] = count - 1
        elif count:
            del self._cgroups_of[identifier]
        return count == 1
