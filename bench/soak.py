"""Does the agent grow? Pods by the hundred a minute, ever new paths, names and connections, and its memory all the while.

    .venv/bin/python bench/soak.py [--minutes 30] [--every 30] [--slots 4] [--requests 300]

Prints a line each `--every` seconds: resident and anonymous MiB, threads, descriptors, lines of /metrics, what was
seen and lost, and the share of a core; at the end the slope of the last half and how often each kind of load ran. Every sample
scrapes /metrics and asks the API as a page would. Loopback and network namespaces of its own; bounded in time and rate.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/end_to_end")]
from api_server_double import api_server_double  # noqa: E402
from busy_workload import ask, read  # noqa: E402
from churning_cluster import churning  # noqa: E402
from footprint import read_cost  # noqa: E402
from started_agent import RunningAgent  # noqa: E402

from collector.source.cgroup_files import find_cgroup2  # noqa: E402

SERIAL = itertools.count()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUESTS_OF_A_CONNECTION = 20
PAGES = (
    "/api/v1/health",
    "/api/v1/services/map",
    "/api/v1/flows?limit=100",
    "/api/v1/requests?limit=100",
    "/api/v1/pods",
    "/api/v1/workloads",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """At `minute` after the start. resident, anonymous: MiB. cpu: seconds so far."""

    minute: float
    resident: float
    anonymous: float
    threads: int
    descriptors: int
    lines: int
    cpu: float
    seen: int
    lost: int


def take_sample(agent: RunningAgent, begun: float) -> Sample:
    for page in PAGES:
        agent.get(page)
    process = Path(f"/proc/{agent.process.pid}")
    status = dict(re.findall(r"^(\w+):\s+(\d+)", (process / "status").read_text(), re.MULTILINE))
    cpu, resident = read_cost(agent.process.pid)
    probes = agent.ask("/api/v1/probes")["probes"]
    return Sample(
        (time.monotonic() - begun) / 60,
        resident,
        int(status["RssAnon"]) / 1024,
        int(status["Threads"]),
        len(list((process / "fd").iterdir())),
        sum(not line.startswith("#") for line in agent.get("/metrics").splitlines()),
        cpu,
        sum(book["seen"] for probe in probes for book in probe["books"]),
        sum(book["lost"] for probe in probes for book in probe["books"]),
    )


def send_requests(port: int, rate: float, ended: threading.Event, done: list[int]) -> None:
    """Each with a path of its own, `REQUESTS_OF_A_CONNECTION` to a connection."""
    begun = time.monotonic()
    while not ended.is_set():
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for _ in range(REQUESTS_OF_A_CONNECTION):
                number = next(SERIAL)
                connection.sendall(f"GET /items/{number}/{number:x}-part HTTP/1.1\r\nHost: h{number % 5000}\r\n\r\n".encode())
                read(connection, len(ANSWER))
                done[0] += 1
        ended.wait(max(0.0, done[0] / rate - (time.monotonic() - begun)))


def answer_requests(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(1000):
                connection.sendall(ANSWER)


def look_up_names(ended: threading.Event, port: int, done: list[int]) -> None:
    """A name nobody asked for before, ten times a second."""
    while not ended.wait(0.1):
        ask(f"name-{done[0]}.known.test", port, done[0])
        done[0] += 1


@contextmanager
def loaded(options: argparse.Namespace) -> Iterator[tuple[dict[str, list[int]], int]]:
    """Everything but the pods: (kind -> how often, so far; the port of the name server)."""
    done: dict[str, list[int]] = {"requests": [0], "names": [0]}
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    command = [sys.executable, str(ROOT / "tests/end_to_end/busy_workload.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdin is not None
        assert busy.stdout is not None
        names = int(busy.stdout.readline())
        busy.stdin.write("\n")
        busy.stdin.flush()
        threading.Thread(target=answer_requests, args=[listener], daemon=True).start()
        works = [
            threading.Thread(target=send_requests, args=[listener.getsockname()[1], options.requests, ended, done["requests"]]),
            threading.Thread(target=look_up_names, args=[ended, names, done["names"]]),
        ]
        for work in works:
            work.start()
        try:
            yield done, names
        finally:
            ended.set()
            for work in works:
                work.join()
            busy.terminate()


def slope(samples: Sequence[Sample], column: str) -> float:
    """Of the last half, by least squares, in MiB an hour."""
    half = samples[len(samples) // 2 :]
    minutes = np.array([sample.minute for sample in half])
    return float(60 * np.polyfit(minutes, [getattr(sample, column) for sample in half], 1)[0])


def print_sample(sample: Sample, before: Sample | None) -> None:
    share = 100 * (sample.cpu - before.cpu) / (60 * (sample.minute - before.minute)) if before else 0.0
    memory = f"resident {sample.resident:6.1f}  anonymous {sample.anonymous:6.1f} MiB"
    held = f"threads {sample.threads}  descriptors {sample.descriptors}  lines {sample.lines}"
    print(f"{sample.minute:6.1f} min  {memory}  {held}  seen {sample.seen}  lost {sample.lost}  cpu {share:.1f} %", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=30, help="seconds")
    parser.add_argument("--slots", type=int, default=4, help="pods at a time")
    parser.add_argument("--requests", type=float, default=300, help="a second")
    options = parser.parse_args()
    (root, *_) = [Path(place) for top, place in find_cgroup2(Path("/proc/self/mountinfo").read_text()) if not top]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(api_server_double(folder))
        done, names = stack.enter_context(loaded(options))
        watching = ["--kubeconfig", str(cluster.kubeconfig), "--node-name", "node-1", "--dns-ports", str(names)]
        agent = RunningAgent(folder, *watching)
        stack.callback(agent.stop)
        truth = stack.enter_context(churning(cluster, root, 60 * options.minutes, options.slots))
        begun = time.monotonic()
        samples = [take_sample(agent, begun)]
        print_sample(samples[0], None)
        while samples[-1].minute < options.minutes:
            time.sleep(options.every)
            samples.append(take_sample(agent, begun))
            print_sample(samples[-1], samples[-2])
        summary = {kind: count[0] for kind, count in done.items()} | {"pods": truth.pods}
    print(f"done: {json.dumps(summary)}")
    for column in ("resident", "anonymous"):
        print(f"{column}: {slope(samples, column):+.1f} MiB an hour over the last half")


if __name__ == "__main__":
    main()
