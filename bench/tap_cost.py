"""What the taps of plain-text requests cost: nginx's throughput with each that this kernel has, and ns per run. See README.md."""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from collector.catalog.probe_folder import read_probe
from collector.errors import LoadError
from collector.settings import Settings
from collector.source.hook_choice import load_probe
from collector.source.hook_support import read_kernel_facts
from collector.source.libbpf import load_libbpf
from collector.source.loaded_probe import LoadedProbe
from collector.source.program_statistics import ProgramRuns, RunTimeStatistics, read_runs
from collector.source.settings_for_kernel import source_settings

PROBES = Path(__file__).resolve().parents[1] / "probes"
CALLS = 20_000
DRAIN_SECONDS = 0.02
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
CONFIGURATION = """
user root; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello"; }} }}
}}
"""
Runs = dict[str, ProgramRuns]


@contextmanager
def nginx() -> Iterator[str]:
    """The address of one worker that answers everything with five bytes."""
    with tempfile.TemporaryDirectory(prefix="honeyguide-bench-") as name, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(name), free.getsockname()[1]
        free.close()
        (folder / "configuration").write_text(CONFIGURATION.format(folder=folder, port=port))
        command = ["/usr/sbin/nginx", "-c", str(folder / "configuration"), "-e", str(folder / "errors")]
        with subprocess.Popen(command) as process:
            try:
                while socket.socket().connect_ex(("127.0.0.1", port)):
                    time.sleep(0.05)
                yield f"http://127.0.0.1:{port}/"
            finally:
                process.terminate()


def put_under_load(url: str, seconds: int, meanwhile: Callable[[], object]) -> float:
    """Requests a second that wrk got."""
    command = ["wrk", "-t1", "-c16", f"-d{seconds}", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        while load.poll() is None:
            meanwhile()
            time.sleep(DRAIN_SECONDS)
        assert load.stdout is not None
        rate = RATE.search(load.stdout.read())
    if rate is None:
        raise SystemExit("wrk did not say how many requests it made.")
    return float(rate.group(1))


class Taps:
    """The ways of socket_data that this kernel has."""

    def __init__(self) -> None:
        self.libbpf, self._facts = load_libbpf(), read_kernel_facts()
        self._probe = read_probe(PROBES / "socket_data", self._facts.types)
        self._settings = source_settings(Settings(ring_bytes=1 << 22), [PROBES]).load
        self.refusals: dict[str, str] = {}

    def open(self, way: str) -> LoadedProbe | None:
        one = replace(self._probe, manifest=self._probe.manifest.model_copy(update={"ways": [way]}))
        try:
            return load_probe(one, self.libbpf, self._settings, self._facts)
        except LoadError as error:
            self.refusals[way] = error.cause
            return None

    def ways(self) -> list[str]:
        found = []
        for way in self._probe.manifest.ways:
            if opened := self.open(way):
                opened.close()
                found.append(way)
        return found

    def runs(self, tap: LoadedProbe) -> Runs:
        return {name: read_runs(self.libbpf, descriptor) for name, descriptor in tap.program_descriptors().items()}


def compare_throughput(taps: Taps, ways: list[str], url: str, seconds: int, rounds: int) -> None:
    """Off and each way in turns; every rate against those without a tap just before and after it."""
    shares: dict[str, list[float]] = {way: [] for way in ways}
    before = put_under_load(url, seconds, lambda: None)
    for _ in range(rounds):
        for way in ways:
            tap = taps.open(way)
            assert tap is not None
            rate = put_under_load(url, seconds, tap.drain)
            tap.close()
            after = put_under_load(url, seconds, lambda: None)
            shares[way].append(2 * rate / (before + after))
            before = after
    print(f"nginx without a tap: {before:,.0f} requests/s; with one, as a share of that:")
    for way, values in shares.items():
        print(f"  {way:20} {median(values):6.1%}   of {rounds}: {', '.join(f'{value:.1%}' for value in values)}")


def measure_runs(taps: Taps, way: str, work: Callable[[LoadedProbe], float]) -> None:
    """work: what is done under the tap; how many units that were."""
    tap = taps.open(way)
    assert tap is not None
    before = taps.runs(tap)
    units = work(tap)
    for name, after in taps.runs(tap).items():
        runs = after.runs - before[name].runs
        if runs > units / 100:
            spent = after.run_time_ns - before[name].run_time_ns
            print(f"    {name:26} {spent / runs:7.0f} ns a run, {runs / units:5.2f} runs, {spent / units:7.0f} ns")
    tap.close()


def talk(first: bytes) -> float:
    """Calls of 100 bytes each way on a connection that begins with `first`; how many there were."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        client.sendall(first)
        accepted.recv(len(first))
        for _ in range(CALLS // 2):
            client.send(bytes(100))
            accepted.recv(100)
        accepted.close()
    return CALLS


def read_nothing() -> float:
    with Path("/dev/zero").open("rb", buffering=0) as file:
        for _ in range(CALLS):
            file.read(16)
    return CALLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of load at a time")
    parser.add_argument("--rounds", type=int, default=3, help="of all taps and none in turns")
    arguments = parser.parse_args()
    if missing := [tool for tool in ("/usr/sbin/nginx", "wrk") if shutil.which(tool) is None]:
        sys.exit(f"Not installed: {', '.join(missing)}.")
    taps = Taps()
    with ExitStack() as stack:
        url = stack.enter_context(nginx())
        ways = taps.ways()
        compare_throughput(taps, ways, url, arguments.seconds, arguments.rounds)
        statistics = RunTimeStatistics(taps.libbpf)
        statistics.switch_on()
        stack.callback(statistics.switch_off)
        for way in ways:
            print(f"{way}, with the kernel's own clock reads (about 50 ns a run):")
            print("  per request of nginx under wrk, both ends watched")
            measure_runs(taps, way, lambda tap: put_under_load(url, arguments.seconds, tap.drain) * arguments.seconds)
            print("  per call on a connection that nobody reads (SSH)")
            measure_runs(taps, way, lambda _: talk(b"SSH-2.0-x\r\n"))
            print("  per read of a file")
            measure_runs(taps, way, lambda _: read_nothing())
    for way, cause in taps.refusals.items():
        print(f"{way}: not here: {cause}")


if __name__ == "__main__":
    main()
