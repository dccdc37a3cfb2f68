"""Gives each workload its number and keeps what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from collector.enrich.cgroup_path import CgroupMeaning
from collector.workload import UNKNOWN, Workload, WorkloadKind

OTHER = 1  # the number of all those for which there was no room
NANOSECONDS = 1_000_000_000


class WorkloadKey(NamedTuple):
    """What makes two workloads different ones."""

    kind: WorkloadKind
    name: str
    namespace: str = ""
    pod_uid: str = ""
    container_id: str = ""


class Naming(NamedTuple):
    """What a cluster or a runtime calls a workload. facts: its OpenTelemetry attributes."""

    name: str
    namespace: str
    facts: Mapping[str, str]


def key_of(named: CgroupMeaning) -> WorkloadKey:
    return WorkloadKey(named.kind, named.name, named.namespace, named.pod_uid, named.container_id)


class WorkloadTable:
    """Bounded: at `maximum` those unused for `idle_seconds` go; if there are none, newcomers are called `other` and counted.

    version moves when numbers given earlier must be asked for again. Time is that of the rows (`use`), not of a clock.
    describe(key, facts): what is known of a workload with that key beside the key, and beside the facts it had; asked when it
    gets its key, and by `decorate`.
    """

    describe: Callable[[WorkloadKey, Mapping[str, str]], Naming | None] | None = None

    def __init__(self, maximum: int = 16384, idle_seconds: float = 900) -> None:
        self._maximum, self._idle_ns = max(maximum, 2), int(idle_seconds * NANOSECONDS)
        self._by_number = {
            UNKNOWN: Workload(UNKNOWN, WorkloadKind.UNKNOWN, "unknown"),
            OTHER: Workload(OTHER, WorkloadKind.UNKNOWN, "other"),
        }
        self._by_key: dict[WorkloadKey, int] = {}
        self._keys: dict[int, WorkloadKey] = {}
        self._of_pod: dict[str, set[int]] = {}
        self._used_at: dict[int, int] = {}
        self._next = OTHER + 1
        self._now = 0
        self._swept_at = 0
        self.version = 0
        self.overflowed = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def full(self) -> bool:
        return len(self._by_number) >= self._maximum

    def get(self, number: int) -> Workload:
        """What is known of that number; one that was evicted, or never given, is `forgotten`."""
        return self._by_number.get(number) or Workload(number, WorkloadKind.UNKNOWN, "forgotten")

    def holds(self, number: int) -> bool:
        return number in self._by_number

    def all(self) -> list[Workload]:
        return list(self._by_number.values())

    def key(self, number: int) -> WorkloadKey | None:
        """What makes it what it is, whatever it is called by now; None while it waits for that, and when it is forgotten."""
        return self._keys.get(number)

    def of_pod(self, uid: str) -> Collection[int]:
        """Numbers of the containers of that pod, and of the pod itself as a peer."""
        return self._of_pod.get(uid, ())

    def with_key(self, key: WorkloadKey) -> int | None:
        """The number that goes with `key`, if it has one."""
        return self._by_key.get(key)

    def number_of(self, key: WorkloadKey, cgroup_path: str = "") -> int:
        """The number that goes with `key`, a new one if it has none; OTHER when there is no room."""
        number = self._by_key.get(key)
        if number is None:
            number = self.reserve()
            if number == OTHER:
                return OTHER
            self.fill(number, key, cgroup_path)
        return number

    def reserve(self) -> int:
        """A number for a workload whose name is not known yet; OTHER when there is no room."""
        if self.full:
            self._sweep()
        if self.full:
            self.overflowed += 1
            return OTHER
        number = self._next
        self._next += 1
        self._by_number[number] = Workload(number, WorkloadKind.UNKNOWN, "unknown")
        self._used_at[number] = self._now
        return number

    def fill(self, number: int, key: WorkloadKey, cgroup_path: str = "") -> None:
        """Names a reserved number. If `key` has a number already, both stand for it from now on; the older one is given out."""
        workload = self._by_number.get(number)
        if workload is None or number <= OTHER:
            return
        self._unindex(number)
        workload.kind, workload.name, workload.namespace, workload.pod_uid, workload.container_id = key
        workload.cgroup_path = cgroup_path
        self._keys[number] = key
        self._by_key.setdefault(key, number)
        if key.pod_uid:
            self._of_pod.setdefault(key.pod_uid, set()).add(number)
        self.decorate(number)

    def decorate(self, number: int) -> None:
        """Takes over what `describe` says by now."""
        key = self._keys.get(number)
        if self.describe is None or key is None:
            return
        workload = self._by_number[number]
        naming = self.describe(key, workload.facts)
        if naming is not None:
            workload.name, workload.namespace, workload.facts = naming

    def use(self, numbers: Iterable[int], now: int) -> None:
        """These were seen at `now` (boot_ns)."""
        self._now = max(self._now, now)
        for number in numbers:
            if number in self._used_at:
                self._used_at[number] = self._now

    def _sweep(self) -> None:
        """Forgets the idle ones, at most once a second: it looks at all."""
        if self._now - self._swept_at < NANOSECONDS:
            return
        self._swept_at = self._now
        idle = [number for number, used_at in self._used_at.items() if used_at + self._idle_ns < self._now]
        for number in idle:
            self._forget(number)
        self.evicted += len(idle)
        self.version += bool(idle)

    def _forget(self, number: int) -> None:
        del self._by_number[number], self._used_at[number]
        self._unindex(number)

    def _unindex(self, number: int) -> None:
        key = self._keys.pop(number, None)
        if key is None:
            return
        if self._by_key.get(key) == number:
            del self._by_key[key]
        if key.pod_uid:
            self._of_pod[key.pod_uid].discard(number)
            if not self._of_pod[key.pod_uid]:
                del self._of_pod[key.pod_uid]
