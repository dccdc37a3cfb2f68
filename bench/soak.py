"""Does the agent grow? Pods by the hundred a minute, ever new paths, names and connections, and its memory all the while.

    .venv/bin/python bench/soak.py [--minutes 30] [--settle 15] [--haste 1] [--every 30] [--slots 4] [--requests 200] [--names 10]
                                   [--traced] [--idle] [-- options of the agent]

Prints a line each `--every` seconds; at the end how it grew after `--settle` minutes, in MiB an hour with twice the standard
error, and what glibc and Python held at both ends of that time. For the first `--settle` minutes requests and names come
`--haste` times as fast, so that what is bounded is full early. Every sample scrapes /metrics and asks the API as a page would.
Loopback and network namespaces of its own; bounded in time and rate. In a network namespace of its own, so that
nobody else's agent has its services: unshare --net sh -c 'ip link set lo up; .venv/bin/python bench/soak.py'.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/end_to_end")]
from api_server_double import api_server_double  # noqa: E402
from churning_cluster import churning  # noqa: E402
from soak_load import Load, loaded  # noqa: E402
from soak_samples import Sample, ask_account, inside, memory_group, slope, take_sample  # noqa: E402
from started_agent import RunningAgent  # noqa: E402

from collector.source.cgroup_files import find_cgroup2  # noqa: E402

COLUMNS = ("resident", "anonymous", "charged", "kernel")


def print_sample(sample: Sample, before: Sample | None) -> None:
    share = 100 * (sample.cpu - before.cpu) / (60 * (sample.minute - before.minute)) if before else 0.0
    memory = f"resident {sample.resident:6.1f} (most {sample.highest:6.1f})  anonymous {sample.anonymous:6.1f}"
    group = f"charged {sample.charged:6.1f}  kernel {sample.kernel:5.1f}  maps {sample.maps:5.1f} MiB"
    held = f"threads {sample.threads}  descriptors {sample.descriptors}  lines {sample.lines}"
    rest = f"seen {sample.seen}  lost {sample.lost}  cpu {share:.1f} %"
    print(f"{sample.minute:6.1f} min  {memory}  {group}  {held}  {rest}", flush=True)


def print_account(when: str, account: dict[str, Any]) -> None:
    for part in ("kernel", "c_library", "python"):
        print(f"{when}: {part:9} " + "  ".join(f"{name} {value:.1f}" for name, value in account[part].items()) + " MiB")
    if "traced" in account:
        print(f"{when}: traced {account['traced']:.1f} MiB, at most {account['traced_peak']:.1f} since the last time")
        for kind in ("lines", "types"):
            for name, value in account[kind].items():
                print(f"  {name:70} {value}")
    sys.stdout.flush()


def print_growth(samples: list[Sample]) -> None:
    for column in COLUMNS:
        rise, error = slope([one.minute for one in samples], [getattr(one, column) for one in samples])
        values = [getattr(one, column) for one in samples]
        extent = f"{min(values):.1f} to {max(values):.1f} MiB, {len(samples)} samples"
        print(f"{column:9}: {rise:+.1f} +- {error:.1f} MiB an hour, {extent}")


def watch(agent: RunningAgent, group: Path, account: Path, load: Load, options: argparse.Namespace) -> None:
    begun = time.monotonic()
    samples = [take_sample(agent, group, begun)]
    print_sample(samples[0], None)
    print_account("at first", ask_account(account))
    while samples[-1].minute < options.minutes:
        time.sleep(options.every)
        samples.append(take_sample(agent, group, begun))
        print_sample(samples[-1], samples[-2])
        if samples[-2].minute < options.settle <= samples[-1].minute:
            load.haste = 1.0
            print_account("settled", ask_account(account))
    print_growth([one for one in samples if one.minute >= options.settle])
    print_account("at the end", ask_account(account))
    print_account("trimmed", ask_account(account, "trim"))
    print_sample(take_sample(agent, group, begun), samples[-1])


@contextmanager
def cgroup_of_its_own() -> Iterator[Path]:
    """Where the pods are, so that two soaks do not have the same ones."""
    (root, *_) = [Path(place) for top, place in find_cgroup2(Path("/proc/self/mountinfo").read_text()) if not top]
    place = root / f"soak-{os.getpid()}"
    place.mkdir()
    try:
        yield place
    finally:
        for folder, _, _ in os.walk(place, topdown=False):
            Path(folder).rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--settle", type=float, default=15, help="minutes that the slope leaves out")
    parser.add_argument("--haste", type=float, default=1, help="times the rates until then")
    parser.add_argument("--every", type=float, default=30, help="seconds")
    parser.add_argument("--slots", type=int, default=4, help="pods at a time")
    parser.add_argument("--requests", type=float, default=200, help="a second")
    parser.add_argument("--names", type=float, default=10, help="a second")
    parser.add_argument("--traced", action="store_true", help="who allocated what, at twice the CPU")
    parser.add_argument("agent", nargs="*", help="options of the agent")
    parser.add_argument("--idle", action="store_true", help="no load and no cluster at all")
    options = parser.parse_args()
    load = Load(options.requests, options.names, options.haste)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        group = stack.enter_context(memory_group(f"honeyguide-soak-{os.getpid()}"))
        program = [str(ROOT / "bench/memory_account.py"), str(folder / "account"), *["--traced"] * options.traced, "--"]
        if options.idle:
            agent = start_inside(group, folder, options.agent, program, stack)
            watch(agent, group, folder / "account", load, options)
            return
        cluster = stack.enter_context(api_server_double(folder))
        stack.enter_context(loaded(load))
        ports = ",".join(map(str, load.ports))
        watching = ["--kubeconfig", str(cluster.kubeconfig), "--node-name", "node-1", "--dns-ports", ports]
        agent = start_inside(group, folder, [*watching, *options.agent], program, stack)
        place = stack.enter_context(cgroup_of_its_own())
        truth = stack.enter_context(churning(cluster, place, 60 * options.minutes + 60, options.slots))
        watch(agent, group, folder / "account", load, options)
        print(f"done: {json.dumps(load.done | {'pods': truth.pods})}")


def start_inside(group: Path, folder: Path, words: Sequence[str], program: Sequence[str], stack: ExitStack) -> RunningAgent:
    with inside(group):
        agent = RunningAgent(folder, *words, program=program)
    stack.callback(agent.stop)
    return agent


if __name__ == "__main__":
    main()
