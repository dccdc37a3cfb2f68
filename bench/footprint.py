"""What the agent costs: RSS and CPU while idle, then under connections at a steady rate.

    .venv/bin/python bench/footprint.py [--idle 30] [--load 60] [--rate 2000]

Prints one line every 10 s: resident memory, share of one core, connections made, flows counted; at the end whether
every connection was counted. Loopback only; the load is bounded in time.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


def read_cost(pid: int) -> tuple[float, float]:
    """(CPU seconds, resident MiB) of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICKS, int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB


def serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.recv(64)
        connection.close()


def connect(port: int, rate: float, seconds: float, made: list[int]) -> None:
    """At most `rate` connections a second, each with a few bytes; the client closes last."""
    begun = time.monotonic()
    while (now := time.monotonic()) - begun < seconds:
        while made[0] < (now - begun) * rate:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"hello")
                connection.recv(1)
            made[0] += 1
        time.sleep(0.001)


class Watched:
    """The agent under measurement."""

    def __init__(self, pid: int, address: str) -> None:
        self.pid, self.address = pid, address
        self.cpu, _ = read_cost(pid)
        self.at = time.monotonic()
        self.highest = 0.0

    def report(self, text: str) -> None:
        cpu, resident = read_cost(self.pid)
        now = time.monotonic()
        self.highest = max(self.highest, resident)
        share = 100 * (cpu - self.cpu) / (now - self.at)
        print(f"{text:<8} rss {resident:6.1f} MiB   cpu {share:5.2f} % of a core", flush=True)
        self.cpu, self.at = cpu, now

    def counted(self) -> int:
        """Client connections closed, of all processes."""
        with urllib.request.urlopen(f"{self.address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        closed = [line for line in lines if line.startswith("honeyguide_tcp_connections_closed_total{")]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in closed if 'flow_role="client"' in line))

    def lost(self) -> int:
        with urllib.request.urlopen(f"{self.address}/api/v1/health") as answer:
            lost: int = json.load(answer)["lost"]
        return lost


def start_agent(log: Path) -> tuple[subprocess.Popen[bytes], str]:
    with log.open("wb") as out:
        command = [sys.executable, "-m", "collector", "run", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    for _ in range(300):
        for line in log.read_text().splitlines():
            if line.startswith("Serving on "):
                return process, line.split()[2].rstrip(".")
        time.sleep(0.1)
    raise SystemExit(log.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=float, default=30)
    parser.add_argument("--load", type=float, default=60)
    parser.add_argument("--rate", type=float, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, address = start_agent(Path(folder, "agent.log"))
        try:
            measure(options, Watched(process.pid, address))
        finally:
            process.terminate()
            process.wait(timeout=5)


def measure(options: argparse.Namespace, watched: Watched) -> None:
    time.sleep(5)
    watched.report("start")
    for _ in range(int(options.idle // 10)):
        time.sleep(10)
        watched.report("idle")
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    port, made = listener.getsockname()[1], [0]
    before = watched.counted()
    client = threading.Thread(target=connect, args=(port, options.rate, options.load, made))
    client.start()
    while client.is_alive():
        client.join(10)
        watched.report("load")
    time.sleep(1)
    counted = watched.counted() - before
    print(f"connections made {made[0]}, counted by the agent (others' included) {counted}, events lost {watched.lost()}")
    print(f"highest resident memory {watched.highest:.1f} MiB")


if __name__ == "__main__":
    main()
