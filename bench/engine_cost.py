"""What a pushed point costs engines of other teams: a replay, no BPF.

    REAL_ENGINES=build/engines .venv/bin/python bench/engine_cost.py [--seconds 10]

`./test real_engines` brings the engines. CPU time is that of the processes.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from many_agents import ROOT, TOKEN, cpu_seconds, start_agent

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/end_to_end"), str(ROOT / "tests/real_engines")]
from engine import Engine, collector, prometheus, rotel, victoria_metrics  # noqa: E402
from otlp_receiver import http_receiver  # noqa: E402

RECORDING = ROOT / "tests/data/node.recording"
POINTS = re.compile(r'^honeyguide_otlp_points_total\{honeyguide_outcome="exported"\} (\d+)', re.MULTILINE)


def pushed_points(address: str) -> int:
    page = httpx.get(f"{address}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    return sum(int(found) for found in POINTS.findall(page))


def measure(name: str, engine: Engine, seconds: int, **options: str) -> None:
    assert engine.process is not None
    with ExitStack() as stack:
        fast = {"OTEL_METRIC_EXPORT_INTERVAL": "200", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        agent, address = start_agent(stack, Path(RECORDING), 0, **{**fast, **options})
        time.sleep(6)  # past the first push, which comes after a whole interval
        before, points = (cpu_seconds(engine.process.pid), cpu_seconds(agent.pid)), pushed_points(address)
        time.sleep(seconds)
        pushed = pushed_points(address) - points
        theirs, ours = cpu_seconds(engine.process.pid) - before[0], cpu_seconds(agent.pid) - before[1]
        cost = f"{theirs / max(pushed, 1) * 1e6:.1f} us of its CPU a point, {ours / max(pushed, 1) * 1e6:.0f} us of the agent's"
        print(f"{name}: {pushed} points, {cost}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    seconds = parser.parse_args().seconds
    alone = {"OTEL_TRACES_EXPORTER": "none"}
    with prometheus() as engine:
        endpoint = f"{engine.address}/api/v1/otlp/v1/metrics"
        measure("Prometheus 3.5", engine, seconds, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=endpoint, **alone)
    with victoria_metrics() as engine:
        endpoint = f"{engine.address}/opentelemetry/v1/metrics"
        measure("VictoriaMetrics", engine, seconds, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=endpoint, **alone)
    for name, started in (("Collector", collector), ("rotel", rotel)):
        for place, protocol in enumerate(("grpc", "http/protobuf")):
            with http_receiver() as receiver, started(receiver.address) as engine:
                endpoint = f"http://127.0.0.1:{engine.ports[place]}"
                options = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
                measure(f"{name} by {protocol}", engine, seconds, **options)


if __name__ == "__main__":
    main()
