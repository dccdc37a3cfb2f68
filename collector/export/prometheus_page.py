"""The writer of /metrics: families as lines, in Prometheus' text format or in OpenMetrics.

prometheus_client's own writer sorts, checks and escapes every label of each sample again, which takes 10 to 14 us: 2 s for 20,000
series with histograms among them, and the drain has to wait. Here the labels of a series are written once and shared by its
buckets. The tests read both pages with prometheus_client's parsers and want no difference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from collector.export.prometheus_families import Family, Labels, Row
from collector.instruments import Exemplar, HistogramValue, InstrumentKind

LARGEST_EXACT = 2**53
PIECE = 1 << 17
TARGET_HELP = "The agent that exports these metrics."


def page_lines(families: Iterable[Family], resource: Labels, *, openmetrics: bool) -> Iterator[str]:
    """The page, a few lines at a time. resource: labels of target_info, which is left out when there are none."""
    if resource:
        yield _target_info(resource, openmetrics)
    for family in families:
        yield _header(family, openmetrics)
        yield from _histograms(family, openmetrics) if family.instrument.kind is InstrumentKind.HISTOGRAM else _numbers(family)
    if openmetrics:
        yield "# EOF\n"


def in_pieces(lines: Iterable[str], least: int = PIECE) -> Iterator[bytes]:
    """The same as bytes, so many characters at a time: whoever sends them holds a piece, never the page."""
    waiting: list[str] = []
    length = 0
    for text in lines:
        waiting.append(text)
        length += len(text)
        if length >= least:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    if waiting:
        yield "".join(waiting).encode()


def _target_info(labels: Labels, openmetrics: bool) -> str:
    name, kind = ("target", "info") if openmetrics else ("target_info", "gauge")
    head = f"# HELP {name} {TARGET_HELP}\n# TYPE {name} {kind}\n"
    return f"{head}target_info{{{_label_pairs(labels, labels.values())}}} 1\n"


def _header(family: Family, openmetrics: bool) -> str:
    name = family.name if openmetrics or family.type != "counter" else f"{family.name}_total"
    text = family.instrument.help.replace("\\", r"\\").replace("\n", r"\n")
    text = text.replace('"', r"\"") if openmetrics else text
    unit = f"# UNIT {name} {family.unit}\n" if openmetrics and family.unit else ""
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n{unit}"


def _numbers(family: Family) -> Iterator[str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    for labels, row in _labelled(family):
        assert not isinstance(row.value, HistogramValue)
        yield f"{name}{{{labels}}} {_number(row.value)}\n" if labels else f"{name} {_number(row.value)}\n"


def _histograms(family: Family, openmetrics: bool) -> Iterator[str]:
    bounds = [f'le="{bound_text(bound)}"}}' for bound in (*family.instrument.buckets, math.inf)]
    for labels, row in _labelled(family):
        assert isinstance(row.value, HistogramValue)
        start = f"{family.name}_bucket{{{labels}," if labels else f"{family.name}_bucket{{"
        cumulative = list(itertools.accumulate(map(int, row.value.counts)))
        lines = [f"{start}{bound} {count}\n" for bound, count in zip(bounds, cumulative, strict=True)]
        for bucket, exemplar in row.value.exemplars.items() if openmetrics else ():
            lines[bucket] = f"{lines[bucket][:-1]} {_exemplar(exemplar)}\n"
        braces = f"{{{labels}}}" if labels else ""
        lines.append(f"{family.name}_count{braces} {cumulative[-1]}\n{family.name}_sum{braces} {_number(row.value.sum)}\n")
        yield "".join(lines)


def _exemplar(one: Exemplar) -> str:
    """OpenMetrics, "Exemplars"; only there, plain text has none."""
    return f'# {{trace_id="{one.trace_id.hex()}",span_id="{one.span_id.hex()}"}} {_number(one.value)} {one.at:.3f}'


def _labelled(family: Family) -> Iterator[tuple[str, Row]]:
    for key, row in family.rows.items():
        yield _label_pairs(family.label_names, key), row


def _label_pairs(names: Iterable[str], values: Iterable[str]) -> str:
    return ",".join([f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)])


def _escape(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def bound_text(bound: float) -> str:
    """How the upper bound of a bucket is written; OpenMetrics wants a point in every number and +Inf for the last."""
    return "+Inf" if bound == math.inf else repr(float(bound))


def _number(value: float) -> str:
    """Whole numbers without an exponent: the page is read by people too."""
    number = float(value)
    if number.is_integer() and abs(number) < LARGEST_EXACT:
        return str(int(number))
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else f"{number:+}".replace("inf", "Inf")
