"""Who something belongs to: from cgroup, process and start time to the number of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from collector.batch import Batch
from collector.clock import Clock, FixedClock
from collector.enrich.cgroup_path import CgroupMeaning, read_cgroup_path
from collector.enrich.cgroup_table import ROOT, Cgroup, CgroupTable
from collector.enrich.cluster import DEFAULT_CHOICE, OBJECTS, Cluster
from collector.enrich.pod_attributes import NamingChoice
from collector.enrich.pod_containers import PodContainers
from collector.enrich.process import Process, name_program
from collector.enrich.process_table import CgroupFact, ProcessTable, read_facts
from collector.enrich.workload_table import WorkloadKey, WorkloadTable, key_of
from collector.workload import UNKNOWN, Workload, WorkloadKind

KEPT_PATHS = 8192
# The more a cgroup says, the lower. init.scope says least: it made the sockets that it hands to the services it starts.
RANKS = {WorkloadKind.POD: 0, WorkloadKind.CONTAINER: 1, WorkloadKind.UNIT: 2}
WEAKEST = 3
LASTING = frozenset(WorkloadKind) - {WorkloadKind.POD, WorkloadKind.CONTAINER, WorkloadKind.UNIT, WorkloadKind.PROCESS}


class Identities:
    """Fed with process_event and cgroup_event batches; asked by the enrichers, the exporters and the API.

    A cgroup that is not known yet gets a number at once; its workload is filled when the path arrives.
    version moves whenever `resolve` would answer a question asked earlier in another way. cluster: what others tell of pods.
    """

    def __init__(self, workloads: WorkloadTable, processes: ProcessTable, cgroups: CgroupTable, cluster: Cluster) -> None:
        self.cluster = cluster
        self.containers = PodContainers(cluster.pods)
        self._workloads = workloads
        self._cgroups = cgroups
        self._waiting: dict[int, tuple[int, str]] = {}  # cgroup -> (its number, program of who asked first)
        self._meanings: dict[str, CgroupMeaning | None] = {}
        self._version = 0
        self._never_named = 0
        self._reserved: set[int] = set()
        self.rows_without_owner = 0
        self.processes = processes

    @property
    def version(self) -> int:
        return self._version + self.processes.version + self._workloads.version

    def workload(self, number: int) -> Workload:
        """Everything known about that number; a number never given, or forgotten, gives kind UNKNOWN."""
        return self._workloads.get(number)

    def workloads(self) -> list[Workload]:
        """All that have a number now, `unknown` (0) and `other` (1) among them."""
        return self._workloads.all()

    def observe(self, batch: Batch) -> None:
        """Learns from rows of process_event and cgroup_event; other records say nothing here."""
        if batch.schema.record == "process_event":
            self.processes.observe(batch)
        elif batch.schema.record == "cgroup_event":
            for row in read_facts(batch, CgroupFact):
                self._take(CgroupFact._make(row))

    def resolve(
        self, cgroup: int, process: int, started_at: int, command: str = "", executable: str = "", *, of_process: bool = False
    ) -> int:
        """The workload of a row. 0 for what the row does not know; command, executable: as they were at its time.

        of_process: the cgroup is where the process itself was then (a socket's is where it was made), so that where the
        process has moved since says nothing.
        """
        owner = self.processes.find(process, started_at) if process else None
        known = self._cgroups.get(cgroup) if cgroup else None
        named = self._most_telling(known, owner, of_process and (known is not None or cgroup == ROOT))
        if named is not None:
            return self._workloads.number_of(key_of(named[0]), named[1])
        program = self._program(owner, command, executable)
        if cgroup > ROOT and known is None:
            return self._wait_for_name(cgroup, program)
        return self.intern(WorkloadKind.PROCESS, program) if program else UNKNOWN

    def resolve_process(self, process: Process) -> int:
        """The workload of a process of the table."""
        return self.resolve(process.cgroup, process.number, process.started_at, process.command, process.executable)

    def intern(self, kind: WorkloadKind, name: str) -> int:
        """The number of something that has nothing but a name."""
        return self._workloads.number_of(WorkloadKey(kind, name))

    def number_of(self, key: WorkloadKey) -> int:
        """The number of a workload that is no cgroup and no process of this node."""
        return self._workloads.number_of(key)

    def reserve(self, key: WorkloadKey) -> int:
        """A number that reads as `key` for now; `name_number` may say later what it stands for, until it is released."""
        self._workloads.number_of(key)
        number = self._workloads.reserve()
        self._workloads.fill(number, key)
        self._reserved.add(number)
        return number

    def release(self, number: int) -> None:
        """It stays what it is."""
        self._reserved.discard(number)

    def name_number(self, number: int, key: WorkloadKey) -> None:
        """A reserved number stands for `key` from now on, for all that was recorded with it too."""
        self._workloads.fill(number, key)

    def use(self, numbers: Iterable[int], now: int) -> None:
        """These numbers were given to rows at `now` (boot_ns); those never used are forgotten first."""
        self._workloads.use(numbers, now)

    def living(self) -> set[int]:
        """Numbers of the workloads that exist now: a cgroup or a process of theirs does; names and networks always do.

        Looks at everything: to be asked once a minute, not once a drain.
        """
        keys = {key_of(cgroup.meaning) for cgroup in self._cgroups.present() if cgroup.meaning is not None}
        for process in self.processes.living():
            named = self._most_telling(self._cgroups.get(process.cgroup), process)
            keys.add(key_of(named[0]) if named else WorkloadKey(WorkloadKind.PROCESS, process.program))
        return {one.number for one in self.workloads() if one.kind in LASTING or self._workloads.key(one.number) in keys}

    def is_gone_peer(self, number: int) -> bool:
        """Whether it is a pod of which nobody says that it exists, or a number for an address that is waited for no longer."""
        key = self._workloads.key(number)
        if key is None or key.kind not in (WorkloadKind.POD, WorkloadKind.NETWORK):
            return False
        if key.kind is WorkloadKind.POD:
            return not self.cluster.pods.lives(key.pod_uid)
        return number not in self._reserved and self._workloads.with_key(key) != number

    def counters(self) -> Mapping[str, int]:
        """What could not be kept or named, by reason, since the start."""
        return {
            "workloads_overflowed": self._workloads.overflowed,
            "workloads_evicted": self._workloads.evicted,
            "processes_evicted": self.processes.evicted,
            "cgroups_evicted": self._cgroups.evicted,
            "cgroups_never_named": self._never_named,
            "attachments_forgotten": self.processes.forgotten_attachments,
            "rows_without_owner": self.rows_without_owner,
            **self.cluster.counters(),
        }

    def limits_reached(self) -> list[str]:
        """Which tables are full now, in words."""
        full = {"workloads": self._workloads.full, "processes": self.processes.full}
        return [name for name, reached in full.items() if reached]

    def _take(self, fact: CgroupFact) -> None:
        if fact.event == "attached":
            self.processes.attach(fact)
            meaning = self._read(fact.path) if self.containers.lookup is not None else None
            if meaning is not None:
                self.containers.want(meaning, fact.path)
        if fact.hierarchy:
            if fact.event == "renamed":
                self.processes.rename(fact)
        elif fact.event == "removed":
            removed = self._cgroups.remove(fact.cgroup)
            if removed is not None:
                self.containers.remove(removed.meaning, fact.observed_at)
        elif fact.cgroup:
            self._name(fact.cgroup, fact.path, fact.observed_at)

    def _name(self, identifier: int, path: str, at: int) -> None:
        known = self._cgroups.get(identifier)
        learnt = self._cgroups.learn(identifier, path)
        if learnt is not None and not learnt.removed:
            if known is not None:  # it has another path now
                self.containers.remove(known.meaning, at)
            self.containers.add(learnt.meaning, path, at)
        if learnt is None or identifier not in self._waiting:
            return
        number, program = self._waiting.pop(identifier)
        self._version += 1
        if learnt.meaning is not None:
            self._workloads.fill(number, key_of(learnt.meaning), path)
        elif program:
            self._workloads.fill(number, WorkloadKey(WorkloadKind.PROCESS, program), path)

    def _wait_for_name(self, cgroup: int, program: str) -> int:
        waiting = self._waiting.get(cgroup)
        if waiting is None or not self._workloads.holds(waiting[0]):
            waiting = (self._workloads.reserve(), program)
            self._forget_waiting()
            self._waiting[cgroup] = waiting
        return waiting[0]

    def _forget_waiting(self) -> None:
        while len(self._waiting) >= KEPT_PATHS:
            del self._waiting[next(iter(self._waiting))]
            self._never_named += 1

    def _most_telling(
        self, known: Cgroup | None, owner: Process | None, stayed: bool = False
    ) -> tuple[CgroupMeaning, str] | None:
        """(meaning, path) of the cgroup that says most about a row with that cgroup and that process."""
        best = min(self._candidates(known, owner, stayed), key=lambda candidate: candidate[0], default=None)
        return None if best is None else best[1:]

    def _candidates(self, known: Cgroup | None, owner: Process | None, stayed: bool) -> Iterator[tuple[int, CgroupMeaning, str]]:
        """(rank, meaning, path) of every cgroup that has something to say: the row's own, then those of its process."""
        if known is not None and known.meaning is not None:
            yield rank(known.meaning), known.meaning, known.path
        if owner is None:
            return
        own = self._cgroups.get(owner.cgroup)
        if own is not None and own is not known and own.meaning is not None and not stayed:
            yield rank(own.meaning), own.meaning, own.path
        for attachment in owner.attachments:
            meaning = self._read(attachment.path)
            if meaning is not None:
                yield rank(meaning), meaning, attachment.path

    def _read(self, path: str) -> CgroupMeaning | None:
        if path not in self._meanings:
            if len(self._meanings) >= KEPT_PATHS:
                self._meanings.clear()
            self._meanings[path] = read_cgroup_path(path)
        return self._meanings[path]

    @staticmethod
    def _program(owner: Process | None, command: str, executable: str) -> str:
        if executable or owner is None:
            return name_program(command, executable)
        return owner.program if command in ("", owner.command) else command


def rank(meaning: CgroupMeaning) -> int:
    return WEAKEST if meaning.name == "init.scope" else RANKS[meaning.kind]


def build_identities(
    maximum_workloads: int = 16384,
    maximum_processes: int = 32768,
    clock: Clock | None = None,
    choice: NamingChoice = DEFAULT_CHOICE,
    maximum_objects: int = OBJECTS,
) -> Identities:
    """clock: that of the rows, for facts with wall-clock times; without one boot and wall clock are the same.

    maximum_objects: of the cluster.
    """
    workloads = WorkloadTable(maximum_workloads)
    cluster = Cluster(clock or FixedClock(0), workloads, choice, maximum_objects)
    return Identities(workloads, ProcessTable(maximum_processes), CgroupTable(), cluster)
