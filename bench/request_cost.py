"""What one HTTP request costs the agent, from the ring to metrics, history and exported spans. See README.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from made_exchanges import STARTED_AT, STEP_NS, exchange_probe, make_exchanges
from made_flows import RingFile

from collector.batch import Batch, BatchKind
from collector.clock import FixedClock
from collector.heap import keep_what_a_drain_frees
from collector.node import Node
from collector.node_building import build_node
from collector.settings import Settings
from collector.source.replay_source import ReplaySource
from collector.source.ring_buffer import RingBuffer

RING_BYTES = 1 << 24
GOAL_NS = 1500
SPAN_RATIO = 0.01
RECEIVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *words): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def receiving() -> Iterator[str]:
    """The address of something that takes OTLP and throws it away, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


class Stopwatch:
    """CPU time of the drain thread, by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = defaultdict(int)

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Times every call of the method `name` of `owner`, on its class."""
        called: Callable[..., Any] = getattr(type(owner), name)

        def timed(*arguments: Any) -> Any:
            started = time.thread_time_ns()
            try:
                return called(*arguments)
            finally:
                self.spent[stage] += time.thread_time_ns() - started

        setattr(type(owner), name, timed)


def make_node(endpoint: str, probe: Any) -> Node:
    settings = Settings(trace_ratio=SPAN_RATIO, traces_per_second=100_000)
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRICS_EXPORTER": "none"}
    node = build_node(settings, FixedClock(0), ReplaySource(None), environment)  # type: ignore[arg-type] -- never opened
    node.add_probe(probe.model)
    return node


def watch_rooms(node: Node) -> Stopwatch:
    watch, rooms = Stopwatch(), node.pipeline.rooms
    for owner, name, stage in (
        (next(iter(node.pipeline._made.values())), "decode", "decode"),
        *(
            (enricher, "enrich", f"enrich: {type(enricher).__name__.removesuffix('Enricher').lower()}")
            for enricher in rooms.enrichers
        ),
        (rooms.aggregator, "add", "aggregate"),
        (rooms.requests, "add", "store"),
        (node.spans, "add", "spans: place and queue"),
    ):
        watch.watch(owner, name, stage)
    return watch


def measure(records: int, rounds: int, warm_up: int) -> dict[str, float]:
    """Stage -> ns of CPU per request."""
    probe = exchange_probe()
    schema = probe.schemas["socket_exchange"]
    with receiving() as endpoint, closing(RingFile(RING_BYTES, schema.dtype)) as file:
        node = make_node(endpoint, probe)
        watch = watch_rooms(node)
        assert node.spans is not None
        node.spans.start()
        ring = RingBuffer(file.descriptor, RING_BYTES, schema.dtype)
        total = 0
        for number in range(-warm_up, rounds):
            file.fill(make_exchanges(schema.dtype, (number + warm_up) * records, records))
            if number == 0:
                watch.spent.clear()
            started = time.thread_time_ns()
            rows = ring.drain()
            watch.spent["drain"] += time.thread_time_ns() - started
            node.pipeline.clock.now_boot_ns = STARTED_AT + (number + warm_up + 1) * records * STEP_NS  # type: ignore[attr-defined]
            node.pipeline.process([Batch(schema, BatchKind.EVENTS, rows)])
            total += time.thread_time_ns() - started if number >= 0 else 0
        exporting = time.process_time_ns()
        node.spans.close(10)  # sends what waits: calls of the drain thread sent nothing yet
        exporting = time.process_time_ns() - exporting
        ring.close()
    status, done = node.spans.status(), records * rounds
    spans = sum(status.discarded.values()) + status.exported
    print(f"{records} requests a drain, {100 * spans / (records * (rounds + warm_up)):.1f} % of them spans: {status}")
    stages = {stage: spent / done for stage, spent in watch.spent.items()}
    return {**stages, "drain thread": total / done, "export of spans (its thread)": exporting / (records * (rounds + warm_up))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[4000], help="requests a drain (4000)")
    parser.add_argument("--total", type=int, default=200_000, help="requests in all (200000)")
    arguments = parser.parse_args()
    keep_what_a_drain_frees()
    for records in arguments.records:
        stages = measure(records, arguments.total // records, 5)
        print("ns of CPU per request")
        for stage, spent in stages.items():
            print(f"  {stage:32}{spent:8.0f}")
        print(f"  goal: {GOAL_NS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
