"""Takes out the series of what is gone, after a last look at them; what lives keeps its series, however idle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from collector.aggregate.aggregator import Aggregator
from collector.aggregate.trace_metrics import TraceMetrics
from collector.enrich.identity import Identities
from collector.export.retired_series import Key, RetiredSeries
from collector.workload import WorkloadKind

SWEEP_SECONDS = 30.0
# Longer than the usual time between two scrapes, so that one of them sees the last numbers of a pod that is gone.
LAST_LOOK_SECONDS = 60.0


@dataclass(slots=True)
class SeriesSweep:
    """idle_seconds: how long series stay of what is gone and is no pod. Used under the pipeline's lock.

    Retired series are kept for who reads /metrics; whoever has not done so for idle_seconds sees no sum go down.
    """

    identities: Identities
    aggregator: Aggregator
    traces: TraceMetrics
    idle_seconds: float
    retired: RetiredSeries = field(default_factory=RetiredSeries)
    _next: float = 0.0
    _read_at: float = -math.inf

    def note_read(self, ended: Iterable[Key], now: float) -> None:
        """Somebody has read all of /metrics; ended: retired series with whose labels nothing goes on. now: unix seconds."""
        self._read_at = now
        self.retired.drop(ended)

    def sweep(self, now: float) -> None:
        """Looks at everything, at most every SWEEP_SECONDS; now: unix seconds."""
        if now < self._next:
            return
        self._next = now + SWEEP_SECONDS
        living = self.identities.living()

        def idle_since(number: int) -> float:
            if number in living:
                return -math.inf
            is_pod = self.identities.workload(number).kind is WorkloadKind.POD
            return now - (LAST_LOOK_SECONDS if is_pod else self.idle_seconds)

        here = {number for number in living if self.identities.workload(number).kind is WorkloadKind.POD}

        def is_gone(peer: int) -> bool:
            return peer not in here and self.identities.is_gone_peer(peer)

        self.aggregator.fold_series_of_peers(is_gone)
        removed = self.aggregator.remove_series_of(
            idle_since, lambda peer: now - self.idle_seconds if is_gone(peer) else -math.inf
        )
        if now - self._read_at <= self.idle_seconds:
            self.retired.take(removed)
        else:
            self.retired.forget_all()
        self.traces.remove_series_of(idle_since)
        self.identities.use(self.aggregator.numbers() | self.traces.numbers(), 0)
