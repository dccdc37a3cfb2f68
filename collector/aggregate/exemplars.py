"""Which spans show what a bucket of a histogram holds. A span counts once it was exported: others would lead nowhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from collector.aggregate.series import Labels, SeriesTable
from collector.instruments import Exemplar

WAITING_SPANS = 4096


class Candidate(NamedTuple):
    """One observation in a bucket of the series at `place`, whose labels were these. at: unix seconds."""

    table: SeriesTable
    place: int
    labels: Labels | None
    bucket: int
    value: float
    at: float


class ExemplarBoard:
    """Bounded: of the spans that nobody has confirmed the oldest are forgotten; each bucket keeps its latest exemplar."""

    def __init__(self, limit: int = WAITING_SPANS) -> None:
        self._limit = limit
        self._waiting: OrderedDict[bytes, list[Candidate]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, span_id: bytes, candidate: Candidate) -> None:
        """That span was chosen and may be exported later."""
        self._waiting.setdefault(span_id, []).append(candidate)
        if len(self._waiting) > self._limit:
            self._waiting.popitem(last=False)

    def confirm(self, spans: Mapping[bytes, bytes]) -> None:
        """These were exported: span id -> trace id. Series that are gone meanwhile, or others in their place, take nothing."""
        for span_id, trace_id in spans.items():
            for one in self._waiting.pop(span_id, ()):
                if one.table.labels[one.place] is one.labels:
                    found = one.table.exemplars.setdefault(one.place, {})
                    found[one.bucket] = Exemplar(trace_id, span_id, one.value, one.at)
