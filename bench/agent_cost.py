"""What the whole agent costs under load: nginx's throughput with and without it, its CPU time for a request. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tap_cost import nginx

ROOT = Path(__file__).resolve().parents[1]
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
DONE = re.compile(r"(\d+) requests in")
TICK = 1 / os.sysconf("SC_CLK_TCK")
COUNT = re.compile(r'^http_server_request_duration_seconds_count\{[^}]*service_name="nginx"[^}]*\} (\d+)', re.MULTILINE)


@dataclass(slots=True)
class Figures:
    """Lists of one figure a round: requests a second without and with the agent, its CPU in us for a request, MiB."""

    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)


@contextmanager
def agent(options: list[str], folder: Path) -> Iterator[tuple[int, str]]:
    """(process id, address) of a running agent that has all it needs."""
    said = folder / "said"
    command = [sys.executable, "-m", "collector", "run", "--listen", "127.0.0.1:0", *options]
    with said.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            while not (found := re.search(r"Serving on (http://\S+?)\.\s", said.read_text())):
                if process.poll() is not None:
                    raise SystemExit(said.read_text())
                time.sleep(0.1)
            time.sleep(3)
            yield process.pid, found[1]
        finally:
            process.send_signal(signal.SIGTERM)


def load(address: str, seconds: float) -> tuple[float, int]:
    """(requests a second, requests in all) of wrk's own count."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds:g}s", address]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    rate, done = RATE.search(said), DONE.search(said)
    assert rate is not None
    assert done is not None
    return float(rate[1]), int(done[1])


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return TICK * (int(fields[11]) + int(fields[12]))


def resident_mib(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def counted_at(address: str) -> int:
    page = urllib.request.urlopen(f"{address}/metrics", timeout=10).read().decode()
    return sum(map(int, COUNT.findall(page)))


def lost_at(address: str) -> int:
    return int(json.load(urllib.request.urlopen(f"{address}/api/v1/health", timeout=10))["lost"])


def measure(address: str, options: list[str], seconds: float, figures: Figures) -> int:
    """One round; the events that were lost in it."""
    figures.without.append(load(address, seconds)[0])
    with tempfile.TemporaryDirectory(prefix="honeyguide-bench-") as name, agent(options, Path(name)) as (process, api):
        before = cpu_seconds(process)
        time.sleep(seconds)
        idle = cpu_seconds(process) - before
        seen, started = counted_at(api), cpu_seconds(process)
        rate, done = load(address, seconds)
        time.sleep(1.5)  # what waits in rings, and answers that nothing follows
        spent = cpu_seconds(process) - started - idle * (seconds + 1.5) / seconds
        figures.beside.append(rate)
        figures.cpu.append(1e6 * spent / done)
        figures.counted.append((counted_at(api) - seen) / done)
        figures.memory.append(resident_mib(process))
        figures.idle.append(100 * idle / seconds)
        return lost_at(api)


def main() -> int:
    """0 when nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="5")
    parser.add_argument("--seconds", type=float, default=5, help="of load a round (5)")
    parser.add_argument("options", nargs="*", help="of `honeyguide run`, behind --")
    arguments = parser.parse_args()
    figures, lost = Figures(), 0
    with nginx() as address:
        for _ in range(arguments.rounds):
            lost += measure(address, arguments.options, arguments.seconds, figures)
    ratio = median(beside / without for beside, without in zip(figures.beside, figures.without, strict=True))
    print(
        f"nginx under wrk, both ends here; medians of {arguments.rounds} rounds of {arguments.seconds:g} s; events lost: {lost}"
    )
    print(f"  requests a second without the agent {median(figures.without):10,.0f}")
    print(f"  requests a second beside the agent  {median(figures.beside):10,.0f}")
    print(f"  ratio                               {ratio:10.2f}")
    print(f"  agent's CPU for a request, us       {median(figures.cpu):10.2f}   both ends; idle taken off")
    print(f"  counted at the server / wrk's count {median(figures.counted):10.4f}")
    print(f"  agent idle before, % of a core      {median(figures.idle):10.2f}")
    print(f"  resident memory afterwards, MiB     {median(figures.memory):10.0f}")
    return 0 if lost == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
