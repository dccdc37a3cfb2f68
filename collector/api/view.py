"""What the API needs of the agent, and the plain data it gets from it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from collector.accounts import Book
from collector.clock import Clock
from collector.cluster_status import WatchStatus
from collector.cluster_view import AddressInfo, PodInfo
from collector.probe_status import ProbeStatus
from collector.store.flows import FlowStore
from collector.store.lookups import LookupStore
from collector.store.requests import RequestStore
from collector.workload import Workload


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process. Times are unix ns, 0: not known, or still running (ended_at). workload: its number.

    outcome: running, succeeded, failed, killed, oom_killed; signal: its name, or ''.
    """

    pid: int
    parent: int
    command: str
    executable: str
    user: int
    started_at: int
    ended_at: int
    outcome: str
    exit_status: int
    signal: str
    workload: int


class HealthState(enum.Enum):
    STARTING = "starting"  # no snapshot was taken yet
    OK = "ok"
    DEGRADED = "degraded"  # events are lost or a limit is hit; `reasons` say which


@dataclass(frozen=True, slots=True)
class Health:
    """reasons: whole sentences for people; empty while all is well."""

    state: HealthState
    reasons: Sequence[str] = field(default_factory=tuple)


class Identities(Protocol):
    """All workloads there are. Read under the agent's lock."""

    def workload(self, number: int) -> Workload: ...

    def workloads(self) -> Sequence[Workload]: ...


class AgentView(Protocol):
    """The running agent. Stores and identities are read under `lock`; the methods take it themselves if they must.

    started_at: unix ns. render_metrics(accept header) gives the page in pieces and its content type, or None when switched off.
    """

    @property
    def version(self) -> str: ...

    @property
    def started_at(self) -> int: ...

    @property
    def lock(self) -> AbstractContextManager[object]: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def flows(self) -> FlowStore: ...

    @property
    def lookups(self) -> LookupStore: ...

    @property
    def requests(self) -> RequestStore: ...

    @property
    def identities(self) -> Identities: ...

    def processes(self) -> Sequence[ProcessInfo]: ...

    def pods(self, wanted: Callable[[str, str, str, str], bool]) -> Iterator[PodInfo]:
        """Pods of which wanted(uid, namespace, name, node) is true; made one by one, outside the lock."""
        ...

    def resolve_address(self, address: bytes, protocol: str, port: int, at_ns: int) -> AddressInfo:
        """Who held that address of 16 bytes at `at_ns` (unix)."""
        ...

    def statuses(self) -> Sequence[ProbeStatus]: ...

    def books(self) -> Sequence[Book]: ...

    def watches(self) -> Sequence[WatchStatus]: ...

    def health(self) -> Health: ...

    def render_metrics(self, accept: str) -> tuple[Iterator[bytes], str] | None: ...
