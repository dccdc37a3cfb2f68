"""Counts of one watch, written by the watch's thread alone; `status` is a copy for any thread."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from collector.cluster_status import WatchState, WatchStatus
from collector.kubernetes.failure import ApiError, Outcome, remedy_for

log = logging.getLogger(__name__)

_REFUSALS = (Outcome.REFUSED, Outcome.UNAUTHENTICATED, Outcome.MISSING)


@dataclass(slots=True)
class WatchBook:
    """The fields are those of WatchStatus."""

    resource: str
    state: WatchState = WatchState.STARTING
    objects: int = 0
    received: int = 0
    heard_at: float = 0.0
    waits: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    relists: Counter[str] = field(default_factory=Counter)
    cause: str = ""
    remedy: str = ""
    watched: bool = True

    def hear(self, size: int, now: float) -> None:
        """So many bytes of a body came."""
        self.received += size
        self.heard_at = now

    def synced(self) -> None:
        if self.state is not WatchState.SYNCED:
            log.info("kubernetes %s: in step, %d objects", self.resource, self.objects)
        self.state, self.cause, self.remedy = WatchState.SYNCED, "", ""

    def failed(self, failure: ApiError) -> None:
        """It is logged once, until all is well again or it fails in another way."""
        state = WatchState.REFUSED if failure.outcome in _REFUSALS else WatchState.RETRYING
        self.cause, self.remedy = failure.cause, remedy_for(failure.outcome, self.resource)
        if state is not self.state:
            log.warning("kubernetes %s: %s %s", self.resource, self.cause, self.remedy)
        self.state = state

    def status(self) -> WatchStatus:
        return WatchStatus(
            self.resource,
            self.state,
            self.objects,
            self.received,
            self.heard_at,
            self.waits,
            dict(self.requests.copy()),
            dict(self.events.copy()),
            dict(self.relists.copy()),
            self.cause,
            self.remedy,
            self.watched,
        )
