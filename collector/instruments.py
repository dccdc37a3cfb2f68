"""What can be exported: every instrument once, and the points that a snapshot holds.

OpenTelemetry names are the truth; Prometheus names are derived from them in `collector/export/prometheus.py`.
Instruments of probes come from their manifests, those of the agent itself from `collector/self_metrics.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collector.workload import Workload

AttributeValue = str | int | bool | float

# Semantic conventions' advice for durations in seconds, with finer steps below for what a kernel can see.
DURATION_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip


class InstrumentKind(enum.Enum):
    COUNTER = "counter"
    UPDOWNCOUNTER = "updowncounter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Instrument:
    """name: OpenTelemetry name with dots; unit: UCUM; buckets: upper bounds of a histogram, ascending, without +Inf."""

    name: str
    kind: InstrumentKind
    unit: str
    help: str
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ExponentialBuckets:
    """Base-2 exponential histogram (OpenTelemetry metrics data model): bucket i holds (base**(offset+i), base**(offset+i+1)]."""

    scale: int
    zero_count: int
    offset: int
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One observation and the exported span that shows it. value: in the instrument's unit; at: unix seconds."""

    trace_id: bytes
    span_id: bytes
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """counts: one per bucket of the instrument plus the last for +Inf, not cumulative. exemplars: by bucket."""

    counts: Sequence[int]
    sum: float
    count: int
    exponential: ExponentialBuckets | None = None
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)


def latest_exemplars(one: Mapping[int, Exemplar], other: Mapping[int, Exemplar]) -> Mapping[int, Exemplar]:
    """Of each bucket the later one."""
    both = sorted([*one.items(), *other.items()], key=lambda entry: entry[1].at)
    return dict(both)


@dataclass(frozen=True, slots=True)
class Point:
    """One series at one moment. workload: whose it is, or None for the agent's own. started_at: unix seconds."""

    workload: Workload | None
    attributes: Mapping[str, AttributeValue]
    value: float | HistogramValue
    started_at: float


class Points(Protocol):
    """A list of them, or what makes them when it is gone through. Its length is 0 only when there is none."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Point]: ...


@dataclass(frozen=True, slots=True)
class InstrumentSnapshot:
    instrument: Instrument
    points: Points


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All series at one moment. taken_at: unix seconds. Label sets are unique within an instrument."""

    taken_at: float
    instruments: Sequence[InstrumentSnapshot] = field(default_factory=tuple)
