"""The cgroups of the v2 hierarchy by id, with what their paths mean."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from collector.enrich.cgroup_path import CgroupMeaning, read_cgroup_path

ROOT = 1  # kernfs numbers the nodes of a hierarchy from its root on


@dataclass(slots=True)
class Cgroup:
    """meaning: None when the path names nothing. removed: the directory is gone, its id is never given again."""

    path: str
    meaning: CgroupMeaning | None
    removed: bool = False


class CgroupTable:
    """Bounded: removed ones go first, then the one asked for longest ago; counted."""

    def __init__(self, maximum: int = 32768, kept_removed: int = 4096) -> None:
        self._maximum, self._kept_removed = maximum, kept_removed
        self._cgroups: OrderedDict[int, Cgroup] = OrderedDict()
        self._removed: OrderedDict[int, None] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._cgroups)

    def get(self, identifier: int) -> Cgroup | None:
        found = self._cgroups.get(identifier)
        if found is not None:
            self._cgroups.move_to_end(identifier)
        return found

    def present(self) -> list[Cgroup]:
        """Those whose directories are still there."""
        return [cgroup for cgroup in self._cgroups.values() if not cgroup.removed]

    def learn(self, identifier: int, path: str) -> Cgroup | None:
        """Its path; None when that was known already."""
        known = self._cgroups.get(identifier)
        if known is not None and known.path == path:
            return None
        self._make_room()
        learnt = Cgroup(path, read_cgroup_path(path), known.removed if known else False)
        self._cgroups[identifier] = learnt
        return learnt

    def remove(self, identifier: int) -> Cgroup | None:
        """Still answered for a while: sockets and late rows outlive the directory. None when it was gone or never known."""
        known = self._cgroups.get(identifier)
        if known is None or known.removed:
            return None
        known.removed = True
        self._removed[identifier] = None
        while len(self._removed) > self._kept_removed:
            self._forget_oldest_removed()
        return known

    def _make_room(self) -> None:
        while len(self._cgroups) >= self._maximum:
            if self._removed:
                self._forget_oldest_removed()
                continue
            self._cgroups.popitem(last=False)
            self.evicted += 1

    def _forget_oldest_removed(self) -> None:
        identifier, _ = self._removed.popitem(last=False)
        self._cgroups.pop(identifier, None)
