"""Which containers of which pods are on this node now, counted by their cgroups: the first and the last of a pod matter."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.cluster_facts import ContainerLookup
from collector.enrich.cgroup_path import CgroupMeaning
from collector.enrich.pod_table import PodTable

PODS = 65_536  # of which cgroups are counted; the one seen first gives way


@dataclass(slots=True)
class PodContainers:
    """Bounded by PODS. lookup: whom to ask about containers, None for nobody."""

    pods: PodTable
    lookup: ContainerLookup | None = None
    _cgroups_of: dict[str, int] = field(default_factory=dict)

    def add(self, meaning: CgroupMeaning | None, path: str, at: int) -> None:
        """A cgroup of that meaning is there; at: boot_ns."""
        if meaning is None or not meaning.container_id:
            return
        self.want(meaning, path)
        if meaning.pod_uid:
            count = self._cgroups_of.get(meaning.pod_uid, 0)
            self._cgroups_of[meaning.pod_uid] = count + 1
            if not count:
                self.pods.enter(meaning.pod_uid, at)
            if len(self._cgroups_of) > PODS:
                del self._cgroups_of[next(iter(self._cgroups_of))]

    def want(self, meaning: CgroupMeaning, path: str) -> None:
        """It would be good to know more of that container."""
        if self.lookup is not None and meaning.container_id:
            self.lookup.want(meaning.container_id, path)

    def remove(self, meaning: CgroupMeaning | None, at: int) -> None:
        """A cgroup that was added is gone."""
        if meaning is None or not meaning.container_id:
            return
        if self.lookup is not None:
            self.lookup.release(meaning.container_id)
        count = self._cgroups_of.get(meaning.pod_uid, 0)
        if count > 1:
            self._cgroups_of[meaning.pod_uid] = count - 1
        elif count:
            del self._cgroups_of[meaning.pod_uid]
            self.pods.leave(meaning.pod_uid, at)
