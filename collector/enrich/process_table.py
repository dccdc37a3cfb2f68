"""The processes of the node, from what the process probe reports: who has which number, runs what, and is in which cgroup.

A process is its number and its start time, so one number used twice is two processes. Facts come through two rings
(processes, cgroups) and may overtake each other between them: every fact carries its time, and the later one wins.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from collector.batch import Batch
from collector.enrich.process import Attachment, Process, ProcessKey

KEPT_MISSES = 4096
NANOSECONDS = 1_000_000_000


class ProcessFact(NamedTuple):
    """One row of process_event; the names are its fields."""

    event: str
    observed_at: int
    process_started_at: int
    cgroup: int
    process: int
    parent: int
    creator: int
    user: int
    netns: int
    exit_status: int
    outcome: str
    signal: str
    command: str
    executable: str

    @property
    def key(self) -> ProcessKey:
        return self.process, self.process_started_at


class CgroupFact(NamedTuple):
    """One row of cgroup_event."""

    event: str
    observed_at: int
    process_started_at: int
    cgroup: int
    hierarchy: int
    process: int
    path: str


class ProcessTable:
    """Bounded: `maximum` living ones (the one asked for longest ago goes first), `kept` ended ones for `kept_seconds`.

    version moves whenever an answer given earlier would be another one now.
    """

    def __init__(self, maximum: int = 32768, kept: int = 4096, kept_seconds: float = 900) -> None:
        self._maximum, self._kept, self._kept_ns = maximum, kept, int(kept_seconds * NANOSECONDS)
        self._living: OrderedDict[ProcessKey, Process] = OrderedDict()
        self._ended: OrderedDict[ProcessKey, Process] = OrderedDict()
        self._newest: dict[int, Process] = {}
        self._children: defaultdict[ProcessKey, list[Process]] = defaultdict(list)  # of the last batch with any
        self._early: OrderedDict[int, list[CgroupFact]] = OrderedDict()
        self._missed: set[ProcessKey] = set()
        self.version = 0
        self.evicted = 0
        self.forgotten_attachments = 0

    @property
    def full(self) -> bool:
        """No room for one more living process without forgetting another."""
        return len(self._living) >= self._maximum

    def __len__(self) -> int:
        return len(self._living)

    def processes(self) -> list[Process]:
        """All that is known, ended ones first, in the order in which they ended; the others as last asked for."""
        return [*self._ended.values(), *self._living.values()]

    def living(self) -> list[Process]:
        return list(self._living.values())

    def find(self, process: int, started_at: int = 0) -> Process | None:
        """The process of that number and start; started_at 0: the newest with that number."""
        key = (process, started_at)
        found = self._living.get(key) or self._ended.get(key)
        if found is None and not started_at:
            found = self._newest.get(process)
        if found is None:
            self._remember_miss(key)
            return None
        found.asked = True
        if found.key in self._living:
            self._living.move_to_end(found.key)
        return found

    def observe(self, batch: Batch) -> None:
        """Rows of process_event, in the order in which they happened."""
        facts = [ProcessFact._make(row) for row in read_facts(batch, ProcessFact)]
        if any(fact.event == "started" for fact in facts):
            self._children.clear()
        for fact in facts:
            self._take(fact)

    def attach(self, fact: CgroupFact) -> None:
        """The process is in that cgroup from now on (v2: its id counts, v1: its path). Kept if the process is not known yet."""
        process = self._find_quietly(fact.process, fact.process_started_at, fact.observed_at)
        if process is None:
            self._keep_early(fact)
            return
        self._attach(process, fact)

    def rename(self, fact: CgroupFact) -> None:
        """A v1 cgroup has another path."""
        for process in self._living.values():
            for attachment in process.attachments:
                if (attachment.hierarchy, attachment.cgroup) == (fact.hierarchy, fact.cgroup):
                    process.attach(attachment._replace(path=fact.path))
                    self._changed(process)

    def _take(self, fact: ProcessFact) -> None:
        process = self._living.get(fact.key) or self._ended.get(fact.key)
        if fact.event == "oom_killed":
            process = process or self._newest.get(fact.process)
            if process is not None:
                process.outcome = fact.outcome
            return
        if process is None:
            process = self._add(fact)
        if fact.event == "started":
            self._inherit(process, fact.creator)
        elif fact.event == "exited":
            self._end(process, fact.observed_at, fact)
        elif fact.observed_at >= process.named_at:
            process.named_at = fact.observed_at
            self._rename(process, fact)
        self._move(process, fact.cgroup, fact.observed_at)

    def _add(self, fact: ProcessFact) -> Process:
        process = Process(
            fact.process, fact.process_started_at, fact.parent, fact.user, fact.netns, fact.command, fact.executable,
            fact.cgroup, fact.observed_at, fact.observed_at,
        )  # fmt: skip
        self._make_room()
        self._living[process.key] = process
        self._supersede(process)
        missed = self._missed & {process.key, (process.number, 0)}
        if missed:
            self._missed -= missed
            self.version += 1
        for early in self._early.pop(process.number, ()):
            if early.process_started_at in (0, process.started_at) and early.observed_at >= process.started_at:
                self._attach(process, early)
        return process

    def _supersede(self, process: Process) -> None:
        """A number is given again only after its process is gone: its end was lost on the way."""
        before = self._newest.get(process.number)
        if before is not None and before.started_at > process.started_at:
            return
        self._newest[process.number] = process
        if before is not None and before.key in self._living:
            self._end(before, process.started_at, None)

    def _inherit(self, child: Process, creator_number: int) -> None:
        """v1 attachments and the program come from whoever forked, as they were at that time."""
        creator = self._find_quietly(creator_number, 0, child.started_at)
        if creator is None:
            return
        if not child.executable and creator.named_at <= child.started_at:
            child.executable = creator.executable
        self._children[creator.key].append(child)
        own = {attachment.hierarchy for attachment in child.attachments}
        for attachment in creator.attachments:
            if attachment.since <= child.started_at and attachment.hierarchy not in own:
                child.attach(attachment)
        if child.attachments:
            self._changed(child)

    def _move(self, process: Process, cgroup: int, since: int) -> None:
        if since < process.cgroup_since:
            return
        process.cgroup_since = since
        if cgroup != process.cgroup:
            process.cgroup = cgroup
            self._changed(process)

    def _attach(self, process: Process, fact: CgroupFact) -> None:
        if fact.hierarchy == 0:
            self._move(process, fact.cgroup, fact.observed_at)
            return
        attachment = Attachment(fact.hierarchy, fact.cgroup, fact.path, fact.observed_at)
        affected = [process]
        while affected:  # and those it forked since then
            changed = affected.pop()
            changed.attach(attachment)
            self._changed(changed)
            affected += [child for child in self._children.get(changed.key, ()) if child.inherits(attachment)]

    def _rename(self, process: Process, fact: ProcessFact) -> None:
        if (process.command, process.executable) != (fact.command, fact.executable):
            process.command, process.executable = fact.command, fact.executable
            self._changed(process)

    def _end(self, process: Process, ended_at: int, fact: ProcessFact | None) -> None:
        process.end(ended_at, fact.exit_status if fact else 0, fact.outcome if fact else "", fact.signal if fact else "")
        if self._living.pop(process.key, None) is not None:
            self._ended[process.key] = process
        while self._ended and self._is_over(ended_at):
            _, gone = self._ended.popitem(last=False)
            self._forget_number(gone)

    def _is_over(self, now: int) -> bool:
        oldest = next(iter(self._ended.values()))
        return len(self._ended) > self._kept or oldest.ended_at + self._kept_ns < now

    def _make_room(self) -> None:
        while len(self._living) >= self._maximum:
            _, gone = self._living.popitem(last=False)
            self._forget_number(gone)
            self.evicted += 1

    def _forget_number(self, gone: Process) -> None:
        if self._newest.get(gone.number) is gone:
            del self._newest[gone.number]

    def _find_quietly(self, number: int, started_at: int, at: int) -> Process | None:
        """Without counting as asked; started_at 0: the newest that had started by `at`."""
        if started_at:
            return self._living.get((number, started_at)) or self._ended.get((number, started_at))
        found = self._newest.get(number)
        return found if found is not None and found.started_at <= at else None

    def _keep_early(self, fact: CgroupFact) -> None:
        self._early.setdefault(fact.process, []).append(fact)
        if len(self._early) > self._maximum:
            self._early.popitem(last=False)
            self.forgotten_attachments += 1

    def _remember_miss(self, key: ProcessKey) -> None:
        if len(self._missed) >= KEPT_MISSES:
            self._missed.clear()
            self.version += 1
        self._missed.add(key)

    def _changed(self, process: Process) -> None:
        if process.asked:
            self.version += 1


def read_facts(batch: Batch, wanted: type[ProcessFact] | type[CgroupFact]) -> Iterable[tuple[object, ...]]:
    """The wanted fields of each row as Python values: enums as their names, text decoded."""
    columns = []
    for name in wanted._fields:
        values = batch.rows[name].tolist()
        names = batch.schema.field(name).names
        if names:
            values = [names.get(value, str(value)) for value in values]
        elif values and isinstance(values[0], bytes):
            values = [value.decode(errors="replace") for value in values]
        columns.append(values)
    return zip(*columns, strict=True)
