"""/metrics: a snapshot as a page in the format the client asks for, or as a collector for a prometheus_client registry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.samples import Exemplar as SampleExemplar

from collector.export.prometheus_families import Families, Family, attribute_labels, families
from collector.export.prometheus_page import TARGET_HELP, Page, bound_text
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


def render(
    snapshot: Snapshot, accept: str, resource: Mapping[str, str] | None = None, read: Families | None = None
) -> tuple[bytes, str]:
    """The page and its content type. accept: the Accept header; resource: attributes for target_info, left out when empty.

    read: how the snapshot becomes families; all attributes become labels without it.
    """
    openmetrics = wants_openmetrics(accept)
    writer = Page(openmetrics)
    if resource:
        writer.write_target_info(attribute_labels(resource))
    for family in (read or Families()).read(snapshot):
        writer.write_family(family)
    return writer.finish(), CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_PLAIN_0_0_4


def wants_openmetrics(accept: str) -> bool:
    """True when OpenMetrics 1.0 (or 0.0.1, which reads the same) is asked for at least as much as plain text."""
    wishes = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        named = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media_type in wishes and named.get("version", "1.0.0") in ("0.0.1", "0.0.4", "1.0.0"):
            wishes[media_type] = max(wishes[media_type], _quality(named.get("q", "1")))
    return 0 < wishes["application/openmetrics-text"] >= wishes["text/plain"]


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
