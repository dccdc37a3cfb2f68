"""Every expression of every panel, asked of a real Prometheus that scrapes a real agent while something goes on."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_SECONDS
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

HERE = Path(__file__).resolve().parent
BOARDS = HERE.parents[1] / "dashboards"
VARIABLES = {"$__rate_interval": "10s", "$workload": ".*", "$namespace": ".*", "$node": ".*"}
CONFIGURATION = """
global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: honeyguide
    static_configs: [{{ targets: ["{target}"] }}]
"""

# What the workload provokes: these panels must show it, not merely a zero.
PROVOKED = {
    "Failed to connect, by workload and cause": "refused",
    "Ended, by how": "aborted",
    "Resets, by workload": "reset_by_peer",
    "Lookups, by answer": "nxdomain",
    "Lookups without an answer, by workload": "python3",
    "Dropped packets, by reason": "no_socket",
    "Programs started, by workload": "sleep",
    "Processes that did not end by themselves": "sigkill",
    "Time to connect": "",
    "Round-trip time": "",
    "Time to an answer": "",
    "Open, by workload": "python3",
    "Top talkers": "python3",
    "UDP, by workload": "python3",
    "Failed requests, by workload and error": "503",
    "Answers, by status": "503",
    "Calls, by method": "shop.Cart/Add",
    "Failed calls, by method and status": "UNAVAILABLE",
    "Operations, by system": "redis",
    "Failed operations, by workload and code": "WRONGTYPE",
    "Time of an operation, at the server": "",
    "Time to answer a call": "",
    "Seen, by probe": "process",
    "Emitted, by probe": "tcp",
    "Rows, by record": "dns",
}


@dataclass(frozen=True, slots=True)
class Question:
    board: str
    panel: str
    expression: str


def questions() -> list[Question]:
    found = []
    for path in sorted(BOARDS.glob("*.json")):
        panels = [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]
        found += [Question(path.stem, panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    return found


def substitute(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


class Prometheus:
    """Debian's server with its own configuration and data, on a port of its own."""

    def __init__(self, folder: Path, target: str) -> None:
        folder.mkdir()
        (folder / "prometheus.yml").write_text(CONFIGURATION.format(target=target))
        with closing(socket.create_server(("127.0.0.1", 0))) as unused:
            listen = f"127.0.0.1:{unused.getsockname()[1]}"
        options = [
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={listen}",
        ]
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["prometheus", "--log.level=warn", *options], stdout=log, stderr=log)
        self.address = f"http://{listen}"

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return json.loads(answer.read())["data"]

    def is_scraping(self) -> bool:
        try:
            targets = self.ask("targets")["activeTargets"]
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return False
        return bool(targets) and targets[0]["health"] == "up"


@contextmanager
def ending(process: subprocess.Popen[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(satisfied: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not satisfied() and time.monotonic() < deadline:
        time.sleep(1)


def is_answered(prometheus: Prometheus, question: Question) -> bool:
    """At least one number, and what is provoked is among the answers."""
    found = prometheus.ask("query", query=substitute(question.expression))["result"]
    shown = PROVOKED.get(question.panel)
    finite = [one for one in found if math.isfinite(float(one["value"][1]))]
    if shown is None:
        return bool(finite)
    return any(shown in " ".join(one["metric"].values()) and float(one["value"][1]) > 0 for one in finite)


@pytest.fixture
def busy() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """(the workload, not yet let go; the port of its name server)."""
    command = [sys.executable, str(HERE / "busy_workload.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout, ending(process):
        yield process, process.stdout.readline().strip()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")
def test_every_expression_of_every_panel_is_answered(
    start_agent: Callable[..., RunningAgent], busy: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    workload, name_port = busy
    agent = start_agent("--dns-ports", name_port, "--snapshot-interval", "1s")
    prometheus = Prometheus(tmp_path / "prometheus", agent.address.removeprefix("http://"))
    with ending(prometheus.process):
        wait_until(prometheus.is_scraping)
        assert prometheus.is_scraping(), prometheus.log.read_text()
        assert workload.stdin is not None
        workload.stdin.write("go\n")
        workload.stdin.flush()
        unanswered = questions()

        def ask_again() -> bool:
            unanswered[:] = [question for question in unanswered if not is_answered(prometheus, question)]
            return not unanswered

        wait_until(ask_again)
        assert unanswered == []
        assert prometheus.ask("metadata")["honeyguide_tcp_rtt_seconds"][0]["type"] == "histogram"
        values = prometheus.ask("label/service_name/values")
    assert "sleep" in values
    assert agent.stop() == 0
