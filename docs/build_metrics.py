"""Writes docs/metrics.md from the probes' manifests and the agent's own table; --check says whether it is in step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from collector.accounts import Book
from collector.aggregate.aggregator import SeriesCount
from collector.aggregate.trace_metrics import GRAPH_METRICS, SPAN_METRICS
from collector.catalog.manifest import Metric, parse_manifest
from collector.cluster_status import WatchStatus
from collector.export.metric_reference import DocumentedInstrument, reference
from collector.probe_status import ProbeState, ProbeStatus, ProgramCost
from collector.self_metrics import ClickHouseCounts, SelfFacts, collect

ROOT = Path(__file__).resolve().parent.parent
TRACES = "Requests as spans and edges: with `span_metrics`, `service_graph`"
PAGE = ROOT / "docs" / "metrics.md"


def documented_instruments(probes: Path) -> list[DocumentedInstrument]:
    """Those of every manifest under `probes`, and the agent's own."""
    return [*_of_probes(probes), *_of_traces(), *_of_the_agent()]


def _of_probes(probes: Path) -> Iterator[DocumentedInstrument]:
    for path in sorted(probes.glob("*/probe.toml")):
        manifest = parse_manifest(path.read_text(encoding="utf-8"), str(path))
        for metric in manifest.metric:
            yield DocumentedInstrument(metric.instrument(), path.parent.name, metric.identity, _attributes(metric))


def _of_traces() -> Iterator[DocumentedInstrument]:
    """Those that are there when span_metrics or service_graph is switched on; their labels are as Grafana wants them."""
    span = ("service", "span_name", "span_kind", "status_code")
    edge = ("client", "server", "connection_type", "client_service_namespace", "server_service_namespace")
    for metric in SPAN_METRICS:
        yield DocumentedInstrument(metric.instrument(), TRACES, ["local"], span)
    for metric in GRAPH_METRICS:
        yield DocumentedInstrument(metric.instrument(), TRACES, attributes=edge)


def _attributes(metric: Metric) -> list[str]:
    constant = (name for part in metric.parts() for name in part.constant)
    return list(dict.fromkeys([*metric.attributes, *constant]))


def _of_the_agent() -> Iterator[DocumentedInstrument]:
    for one in collect(_facts_with_one_of_everything()):
        attributes = dict.fromkeys(name for point in one.points for name in point.attributes)
        yield DocumentedInstrument(one.instrument, attributes=list(attributes))


def _facts_with_one_of_everything() -> SelfFacts:
    """Its points show which attributes the agent's own instruments have."""
    status = ProbeStatus("tcp", "", ProbeState.RUNNING, costs=(ProgramCost("program", 1, 1),))
    counts = {"what": 1}
    watch = WatchStatus("pods", heard_at=1.0, requests=counts, events=counts, relists=counts)
    return SelfFacts(
        books=[Book("tcp", "account", 1, 1, 0, 0, {"ring_full": 1}, delivered=True)],
        statuses=[status],
        fills={("tcp", "record"): 0.0},
        lag_seconds=0.0,
        rows={("tcp", "record"): 1},
        decoder_discards={"dns": {"reason": 1}},
        series=[SeriesCount("instrument", 1, 0, 0)],
        rejected={"instrument": 1},
        peers={"evidence": 1},
        identity_discards={"reason": 1},
        store_rows={"store": 1},
        store_discards={"reason": 1},
        otlp_points={"outcome": 1},
        watches=[watch],
        spans={"exported": 1},
        healthy=True,
        started_at=0.0,
        clickhouse=ClickHouseCounts({"outcome": 1}, {"outcome": 1}),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when docs/metrics.md is out of step")
    arguments = parser.parse_args()
    page = reference(documented_instruments(ROOT / "probes"))
    if not arguments.check:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/metrics.md is out of step; run: python docs/build_metrics.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
