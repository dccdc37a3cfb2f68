"""A snapshot as a collector for a prometheus_client registry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar as SampleExemplar

from collector.export.prometheus_families import Family, attribute_labels, families
from collector.export.prometheus_page import TARGET_HELP, bound_text
from collector.instruments import Exemplar, HistogramValue, Snapshot


class SnapshotCollector:
    """The series of a snapshot for a prometheus_client registry."""

    def __init__(self, take_snapshot: Callable[[], Snapshot], resource: Mapping[str, str]) -> None:
        self._take_snapshot = take_snapshot
        self._resource = resource

    def describe(self) -> list[Metric]:
        """Nothing is known before there are series; without this a registry would take a snapshot to find names."""
        return []

    def collect(self) -> Iterator[Metric]:
        target = Metric("target", TARGET_HELP, "info")
        target.add_sample("target_info", attribute_labels(self._resource), 1)
        yield target
        for family in families(self._take_snapshot()):
            metric = Metric(family.name, family.instrument.help, family.type, family.unit)
            for name, labels, value, exemplar in _samples(family):
                metric.add_sample(name, labels, value, exemplar=exemplar)
            yield metric


def _samples(family: Family) -> Iterator[tuple[str, dict[str, str], float, SampleExemplar | None]]:
    for key, row in family.rows.items():
        labels = dict(zip(family.label_names, key, strict=True))
        if isinstance(row.value, HistogramValue):
            for bucket, (bound, count) in enumerate(_buckets(family, row.value)):
                yield f"{family.name}_bucket", {**labels, "le": bound}, count, _exemplar(row.value.exemplars.get(bucket))
            yield f"{family.name}_count", labels, sum(row.value.counts), None
            yield f"{family.name}_sum", labels, row.value.sum, None
        else:
            suffix = "_total" if family.type == "counter" else ""
            yield f"{family.name}{suffix}", labels, row.value, None


def _exemplar(one: Exemplar | None) -> SampleExemplar | None:
    if one is None:
        return None
    return SampleExemplar({"trace_id": one.trace_id.hex(), "span_id": one.span_id.hex()}, one.value, round(one.at, 3))


def _buckets(family: Family, value: HistogramValue) -> Iterator[tuple[str, int]]:
    bounds = [bound_text(bound) for bound in (*family.instrument.buckets, math.inf)]
    return zip(bounds, itertools.accumulate(map(int, value.counts)), strict=True)
