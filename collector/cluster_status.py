"""How the watch over a cluster's objects goes: for metrics, health, the API and the doctor."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class WatchState(enum.Enum):
    STARTING = "starting"  # nothing complete yet
    SYNCED = "synced"  # all is known, changes arrive
    RETRYING = "retrying"  # what is known may be old
    REFUSED = "refused"  # RBAC or the credentials do not allow it


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """One kind of object. heard_at: unix s of the last byte, 0 for none. received: bytes of bodies. cause, remedy: why it does
    not go well, and what to do.

    requests: by what became of them. events: by type, and what was not used by reason. relists: by why everything had to be
    asked again; the first time is none. waits: pauses before another attempt. watched: False for what is asked once by name.
    """

    resource: str
    state: WatchState = WatchState.STARTING
    objects: int = 0
    received: int = 0
    heard_at: float = 0.0
    waits: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    relists: Mapping[str, int] = field(default_factory=dict)
    cause: str = ""
    remedy: str = ""
    watched: bool = True


class ClusterView(Protocol):
    def statuses(self) -> Sequence[WatchStatus]:
        """How each watch over the cluster's objects goes."""
        ...
