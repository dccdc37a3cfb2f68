"""Makes the samples beside it: real clients ask a real Redis while tcpdump listens; the server's statistics are the truth.

usage: PYTHONPATH=tests/unit/decode:. python record_redis.py CLIENT_PYTHON
CLIENT_PYTHON: an interpreter with redis-py. Needs root, tcpdump, redis-server, redis-cli and redis-benchmark.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recorded_streams import capture, write

PORT = "56380"
ENVIRONMENT = {**os.environ, "REDIS_PORT": PORT}
HERE = Path(__file__).parent
STATISTIC = re.compile(r"^cmdstat_([^:]+):calls=(\d+),.*rejected_calls=(\d+),failed_calls=(\d+)", re.MULTILINE)


def ask(*words: str) -> str:
    return subprocess.run(["redis-cli", "-p", PORT, *words], check=True, capture_output=True, text=True).stdout.replace("\r", "")


def read_truth() -> dict[str, list[int]]:
    """Operation -> how many were executed or refused, and how many of these failed."""
    truth = {}
    for name, calls, rejected, failed in STATISTIC.findall(ask("info", "commandstats")):
        truth[name.upper().replace("|", " ")] = [int(calls) + int(rejected), int(failed) + int(rejected)]
    truth.pop("CONFIG RESETSTAT", None)
    return truth


def main(client: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="samples."))
    options = ["--save", "", "--bind", "127.0.0.1", "--enable-debug-command", "yes"]
    server = subprocess.Popen(["redis-server", "--port", PORT, "--dir", folder, *options], stdout=subprocess.DEVNULL)
    benchmark = ["redis-benchmark", "-p", PORT, "-q", "-n", "32", "-c", "2", "-t", "ping,set,get,incr,lpush,mset"]
    actions = {
        "benchmark": [*benchmark, "-P", "1"],
        "benchmark_pipelined": [*benchmark, "-P", "16"],
        "drivers": [client, str(HERE / "drive_redis.py")],
    }
    try:
        time.sleep(1)
        for name, arguments in actions.items():
            ask("config", "resetstat")
            connections = capture(
                int(PORT),
                folder / "pcap",
                lambda command=arguments: subprocess.run(command, env=ENVIRONMENT, stdout=-3, check=True),
            )
            write("redis", name, {"server": "Redis 7.0", "connections": connections, "truth": read_truth()})
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
