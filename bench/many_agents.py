"""What several agents cost one Prometheus and one OTLP endpoint, and what being asked costs an agent: replays, no root.

    .venv/bin/python bench/many_agents.py [--agents 5] [--seconds 30] [--recording tests/data/node.recording]

Prometheus (Debian's) scrapes every agent once a second with its token; then every agent pushes once a second to a
receiver of this process. CPU time is that of the processes, so other load on the machine changes it little.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "token-of-this-bench"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def start_agent(stack: ExitStack, recording: Path, number: int, **more: str) -> tuple[subprocess.Popen[str], str]:
    place = {"OTEL_RESOURCE_ATTRIBUTES": f"k8s.node.name=node-{number}", "HONEYGUIDE_TOKEN": TOKEN}
    words = [sys.executable, "-m", "collector", "replay", str(recording), "--serve", "--listen", "127.0.0.1:0"]
    agent = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **place, **more}, stdout=subprocess.PIPE, text=True)
    stack.callback(agent.wait)
    stack.callback(agent.terminate)
    assert agent.stdout is not None
    address = next(line.split()[2].rstrip(".") for line in agent.stdout if line.startswith("Serving on "))
    return agent, address


def start_prometheus(stack: ExitStack, folder: Path, targets: list[str]) -> tuple[subprocess.Popen[bytes], str]:
    (folder / "token").write_text(TOKEN)
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                "scrape_configs": [
                    {
                        "job_name": "honeyguide",
                        "authorization": {"credentials_file": str(folder / "token")},
                        "static_configs": [{"targets": targets}],
                    }
                ],
            }
        )
    )
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        listen = f"127.0.0.1:{unused.getsockname()[1]}"
    program = shutil.which("prometheus")
    assert program, "prometheus is not installed"
    words = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    server = subprocess.Popen([*words, f"--web.listen-address={listen}", "--log.level=error"])
    stack.callback(server.wait)
    stack.callback(server.terminate)
    return server, f"http://{listen}"


def ask(url: str, expression: str) -> float:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}).json()["data"]["result"]
    return float(answer[0]["value"][1]) if answer else 0.0


def measure_scrapes(arguments: argparse.Namespace) -> None:
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        agents = [start_agent(stack, arguments.recording, number) for number in range(arguments.agents)]
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
        page = httpx.get(f"{agents[0][1]}/metrics", headers=headers).content
        samples = sum(1 for line in page.splitlines() if line and not line.startswith(b"#"))
        packed = len(gzip.compress(page, 6))
        print(f"a page: {samples} samples, {len(page)} bytes ({len(page) / samples:.0f} a sample), gzip {packed}")
        server, url = start_prometheus(stack, Path(folder), [address.removeprefix("http://") for _, address in agents])
        pids = [agent.pid for agent, _ in agents]
        time.sleep(5)  # past both sides' start
        before, own = [cpu_seconds(pid) for pid in pids], cpu_seconds(server.pid)
        time.sleep(arguments.seconds)
        agent_cpu = sum(cpu_seconds(pid) - one for pid, one in zip(pids, before, strict=True))
        scrapes = arguments.agents * arguments.seconds
        taken = scrapes * samples
        print(f"agent: {agent_cpu / scrapes * 1000:.1f} ms CPU a scrape, {agent_cpu / taken * 1e6:.1f} us a sample")
        cost, up = (cpu_seconds(server.pid) - own) / taken * 1e6, ask(url, "count(up == 1)")
        print(f"prometheus: {cost:.1f} us CPU a sample, {resident_mib(server.pid):.0f} MiB, {up:.0f} agents up")


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests: list[tuple[int, int]] = []  # noqa: RUF012 -- one for all connections

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        if self.path.endswith("metrics"):
            Receiver.requests.append((len(body), count_points(ExportMetricsServiceRequest.FromString(plain))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def count_points(request: Any) -> int:
    metrics = (metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics)
    return sum(len(getattr(metric, metric.WhichOneof("data")).data_points) for metric in metrics)


def measure_pushes(arguments: argparse.Namespace) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    options = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
    with ExitStack() as stack:
        options["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
        agents = [start_agent(stack, arguments.recording, number, **options) for number in range(arguments.agents)]
        time.sleep(5)
        pids, Receiver.requests = [agent.pid for agent, _ in agents], []
        before = [cpu_seconds(pid) for pid in pids]
        time.sleep(arguments.seconds)
        cpu = sum(cpu_seconds(pid) - one for pid, one in zip(pids, before, strict=True))
        sent, points = sum(size for size, _ in Receiver.requests), sum(count for _, count in Receiver.requests)
    server.shutdown()
    print(
        f"OTLP: {points / max(len(Receiver.requests), 1):.0f} points a push, {sent / points:.1f} bytes a point (gzip), "
        f"{cpu / points * 1e6:.1f} us CPU of the agent a point"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--recording", type=Path, default=ROOT / "tests/data/node.recording")
    arguments = parser.parse_args()
    measure_scrapes(arguments)
    measure_pushes(arguments)


if __name__ == "__main__":
    main()
