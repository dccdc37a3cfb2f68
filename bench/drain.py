"""What one flow record costs: drained and aggregated here, against bcc's callback per event doing the same. See README.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from statistics import quantiles

from made_flows import NETWORKS, RingFile, make_flows, tcp_probe

from collector.aggregate.aggregator import AggregateSettings, Aggregator
from collector.batch import Batch, BatchKind
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import build_identities
from collector.enrich.names import NameTable
from collector.instruments import HistogramValue
from collector.source.ring_buffer import RingBuffer
from collector.store.flows import FlowStore

RING_BYTES = 1 << 24
GOAL = 10
Totals = dict[str, float]


class Pipeline:
    """The rooms that collector/pipeline.py puts in a row, with the time that each takes."""

    def __init__(self) -> None:
        self.probe = tcp_probe()
        self.schema = self.probe.schemas["tcp_connection"]
        identities = build_identities()
        self.enrichers = build_enrichers(identities, NameTable(), NETWORKS)
        self.aggregator = Aggregator(AggregateSettings(), identities.workload)
        self.aggregator.add_probe("tcp", self.probe.manifest, self.probe.model.map_keys)
        self.store = FlowStore(50_000, 65_536)
        self.spent: dict[str, list[int]] = defaultdict(list)
        self._at = 0

    def drain(self, ring: RingBuffer) -> None:
        self._at = time.thread_time_ns()
        batch = Batch(self.schema, BatchKind.EVENTS, ring.drain())
        self._note("drain")
        for enricher in self.enrichers:
            enricher.enrich(batch)
        self._note("enrich")
        batch = self.aggregator.join(batch)
        self._note("join")
        self.aggregator.add(batch, 1000.0)
        self._note("aggregate")
        self.store.add(batch, 0, "tcp")
        self._note("store")

    def _note(self, stage: str) -> None:
        now = time.thread_time_ns()
        self.spent[stage].append(now - self._at)
        self._at = now

    def totals(self) -> Totals:
        """The figures that bcc_callback.py gives too."""
        points = {one.instrument.name: one.points for one in self.aggregator.snapshot()}
        sent = [point for point in points["honeyguide.tcp.io"] if point.attributes["network.io.direction"] == "transmit"]
        closed, trips = points["honeyguide.tcp.connections.closed"], points["honeyguide.tcp.rtt"]
        return {
            "series": len(closed),
            "closed": sum(float(point.value) for point in closed if not isinstance(point.value, HistogramValue)),
            "bytes_sent": sum(float(point.value) for point in sent if not isinstance(point.value, HistogramValue)),
            "workloads": len({point.workload.name for point in closed if point.workload}),
            "rtt_sum": round(sum(point.value.sum for point in trips if isinstance(point.value, HistogramValue)), 6),
        }


def quiet(spent: list[int]) -> float:
    """The lower quartile: what it takes when nobody else has the cache."""
    return quantiles(spent, n=4)[0]


def measure(records: int, rounds: int) -> tuple[dict[str, float], Totals]:
    """(stage -> ns per record, the lower quartile of all rounds; totals)."""
    pipeline = Pipeline()
    with closing(RingFile(RING_BYTES, pipeline.schema.dtype)) as file:
        ring = RingBuffer(file.descriptor, RING_BYTES, pipeline.schema.dtype)
        for number in range(rounds):
            file.fill(make_flows(pipeline.schema.dtype, number * records, records))
            pipeline.drain(ring)
        ring.close()
    return {stage: quiet(spent) / records for stage, spent in pipeline.spent.items()}, pipeline.totals()


def measure_bcc(records: int, rounds: int) -> tuple[float, Totals]:
    """(ns per record, the lower quartile of all rounds; totals)."""
    script = Path(__file__).with_name("bcc_callback.py")
    command = ["/usr/bin/python3", str(script), str(records), str(rounds)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    if found["lost"] or found["records"] != records * rounds:
        raise SystemExit(f"bcc lost records: {found}")
    totals = {name: found[name] for name in ("series", "closed", "bytes_sent", "workloads")}
    return quiet(found["cpu_ns"]) / records, {**totals, "rtt_sum": round(found["rtt_sum"], 6)}


def report(records: int, rounds: int) -> float:
    """Prints one table; the ratio of bcc's callback to ours."""
    stages, ours = measure(records, rounds)
    callback, theirs = measure_bcc(records, rounds)
    if ours != theirs:
        raise SystemExit(f"the two did not count the same: {ours} {theirs}")
    counted = stages["drain"] + stages["join"] + stages["aggregate"]
    lines = {
        "drain": stages["drain"],
        "join": stages["join"],
        "aggregate": stages["aggregate"],
        "drain to aggregate": counted,
        "bcc: callback, dictionaries": callback,
        "(names of both ends)": stages["enrich"],
        "(history for the API)": stages["store"],
    }
    print(f"{records} records a drain, {rounds} drains, {ours['series']:.0f} series; ns of CPU per record, lower quartile")
    for name, spent in lines.items():
        print(f"  {name:30}{spent:8.0f}")
    print(f"  {'bcc / drain to aggregate':30}{callback / counted:8.1f}  goal: {GOAL}")
    print(f"  {'bcc / the same with names':30}{callback / (counted + stages['enrich']):8.1f}")
    return callback / counted


def main() -> int:
    """0 when the goal is reached at the first of the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[2000, 500, 8000], help="records a drain (2000 500 8000)")
    parser.add_argument("--total", type=int, default=60_000, help="records in all, of each size (60000)")
    arguments = parser.parse_args()
    ratios = [report(records, max(arguments.total // records, 5)) for records in arguments.records]
    return 0 if ratios[0] >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
