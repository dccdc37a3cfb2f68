"""Engines as processes of user nobody, on loopback, in folders of their own; `./test real_engines` brings them and says where.

Each can be killed and started again on the same ports.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ports import free_port, wait_for_port

VARIABLE = "REAL_ENGINES"
PLACE = Path(os.environ.get(VARIABLE, "/nonexistent"))
PROGRAMS = {
    "prometheus": PLACE / "prometheus-otlp",
    "packaged prometheus": PLACE / "unpacked/usr/bin/prometheus",
    "victoria-metrics": PLACE / "unpacked/usr/bin/victoria-metrics",
    "collector": PLACE / "collector",
    "rotel": next(PLACE.glob("rotel/lib/python3*/site-packages/rotel/rotel-agent"), PLACE / "rotel-agent"),
}
# What the boards ask for must be a label of every series; the rest of a resource stays in target_info.
PROMOTED = (
    "service.name", "service.namespace", "host.name", "k8s.node.name", "k8s.pod.name", "k8s.container.name",
    "honeyguide.workload.kind",
)  # fmt: skip
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


def why_not() -> str:
    """'' where the tests can run."""
    if VARIABLE not in os.environ:
        return (
            "needs engines of other teams: ./test real_engines fetches and compiles them (10 to 30 minutes, once) and runs these"
        )
    needed = [str(path) for path in PROGRAMS.values()] + ["/usr/sbin/nginx", "curl", "setpriv"]
    missing = [name for name in needed if shutil.which(name) is None]
    return f"missing: {', '.join(missing)}" if missing else ""


@dataclass
class Engine:
    """ports: those it listens on; the first answers last."""

    folder: Path
    command: Sequence[str]
    ports: Sequence[int]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*AS_NOBODY, *self.command], cwd=self.folder, stdout=log, stderr=log)
        for port in self.ports:
            wait_for_port(port)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of an instant query; for engines that speak PromQL."""
        url = f"{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        return [(one["metric"], float(one["value"][1])) for one in self.ask(url)["data"]["result"]]

    def ask(self, url: str) -> Any:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())

    def value(self, expression: str) -> float:
        """Of the only series; 0 without one."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else 0.0


def wait_until(satisfied: Any, seconds: float = 60.0) -> None:
    """Returns at that time at the latest: the assertion that follows shows what is wrong."""
    deadline = time.monotonic() + seconds
    while not satisfied() and time.monotonic() < deadline:
        time.sleep(0.2)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """Below /tmp itself: pytest's own folders are root's alone."""
    with tempfile.TemporaryDirectory(prefix="honeyguide-engine-", dir="/tmp") as name:
        shutil.chown(name, "nobody")
        yield Path(name)


@contextmanager
def running(folder: Path, command: Sequence[str], ports: Sequence[int]) -> Iterator[Engine]:
    engine = Engine(folder, command, ports)
    try:
        engine.start()
        yield engine
    finally:
        if engine.process is not None:
            engine.process.kill()
            engine.process.wait()


@contextmanager
def prometheus(scraped: str = "", program: str = "prometheus") -> Iterator[Engine]:
    """Takes OTLP (not the packaged one) and scrapes host:port `scraped` every second, with all it can make of a page."""
    with folder_of_nobody() as folder:
        jobs = [{"job_name": "scraped", "static_configs": [{"targets": [scraped]}]}] if scraped else []
        settings: dict[str, Any] = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
        options = []
        if program == "prometheus":
            settings["otlp"] = {"promote_resource_attributes": PROMOTED}
            options = ["--web.enable-otlp-receiver"]
        (folder / "prometheus.yml").write_text(json.dumps(settings))
        port = free_port()
        options += [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        features = "exemplar-storage,native-histograms,created-timestamp-zero-ingestion"
        options += [f"--web.listen-address=127.0.0.1:{port}", f"--enable-feature={features}"]
        with running(folder, [str(PROGRAMS[program]), *options], [port]) as engine:
            yield engine


@contextmanager
def victoria_metrics() -> Iterator[Engine]:
    """Answers queries at once; by default it keeps 30 s back."""
    with folder_of_nobody() as folder:
        port = free_port()
        options = [f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}", "-opentelemetry.usePrometheusNaming"]
        options += [
            "-search.latencyOffset=0s",
            "-search.disableCache",
            "-memory.allowedPercent=5",
            "-http.disableResponseCompression",
        ]
        with running(folder, [str(PROGRAMS["victoria-metrics"]), *options], [port]) as engine:
            yield engine


@contextmanager
def collector(onward: str, queued: int = 1000) -> Iterator[Engine]:
    """The OpenTelemetry Collector; ports: OTLP over gRPC, over HTTP. onward: where it sends everything, over HTTP with gzip."""
    with folder_of_nobody() as folder:
        grpc, http = free_port(), free_port()
        protocols = {"grpc": {"endpoint": f"127.0.0.1:{grpc}"}, "http": {"endpoint": f"127.0.0.1:{http}"}}
        pipeline = {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlp_http"]}
        settings = {
            "receivers": {"otlp": {"protocols": protocols}},
            "processors": {"batch": {"timeout": "100ms"}},
            "exporters": {"otlp_http": {"endpoint": onward, "compression": "gzip", "sending_queue": {"queue_size": queued}}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
                "pipelines": {"metrics": pipeline, "traces": pipeline},
            },
        }
        (folder / "collector.yaml").write_text(json.dumps(settings))
        command = [str(PROGRAMS["collector"]), f"--config=file:{folder}/collector.yaml"]
        with running(folder, command, [grpc, http]) as engine:
            yield engine


@contextmanager
def rotel(onward: str) -> Iterator[Engine]:
    """Streamfold's collector; ports and onward as above."""
    with folder_of_nobody() as folder:
        grpc, http = free_port(), free_port()
        options = ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}", "--exporter", "otlp"]
        options += ["--otlp-exporter-endpoint", onward, "--otlp-exporter-protocol", "http", "--batch-timeout", "100ms"]
        files = ["--pid-file", f"{folder}/pid", "--log-file", f"{folder}/rotel.log"]
        with running(folder, [str(PROGRAMS["rotel"]), "start", *files, *options], [grpc, http]) as engine:
            yield engine
