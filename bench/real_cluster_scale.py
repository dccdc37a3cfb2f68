"""What watching a cluster costs one agent where the API server is a real one.

    REAL_API_SERVER=build/kubernetes/kube-apiserver .venv/bin/python bench/real_cluster_scale.py [--nodes 100] [--pods 5000]
                                                    [--changes 20] [--seconds 30] [--peers off|services|pods ...]

`./test real_api_server` compiles the server. Pods are made through its API, each with a status as kubelets write it.
changes: so many get another status each second, while the agent's part (cluster_scale.py, in a process of its own) watches.
Requests are those in the server's own audit log. Loopback only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as processes
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "real_api_server"), str(Path(__file__).parent)]
WRITERS = 8
NAMESPACE = "scale"


def address_of(number: int, round_: int = 0) -> str:
    return f"10.{1 + (number >> 14)}.{number >> 6 & 255}.{(number & 63) * 4 + round_ % 4}"


def fill(writer: Any, scale: argparse.Namespace) -> None:
    """Nodes, and pods of one ReplicaSet on them in turn."""
    writer.add_namespace(NAMESPACE)
    _, replica_set = writer.add_deployment(NAMESPACE, "shop")

    def make(number: int) -> None:
        name = f"shop-6d4cf56db6-{number:05x}"
        writer.add_pod(NAMESPACE, name, replica_set)
        writer.place_pod(NAMESPACE, name, f"node-{number % scale.nodes}")
        writer.run_pod(NAMESPACE, name, address_of(number))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda number: writer.add_node(f"node-{number}", f"192.0.2.{number % 250}"), range(scale.nodes)))
        list(pool.map(make, range(scale.pods)))


def churn(writer: Any, scale: argparse.Namespace) -> int:
    begun, made = time.monotonic(), 0
    while (passed := time.monotonic() - begun) < scale.seconds:
        if made < passed * scale.changes:
            serial = next(writer.serial)
            number = serial * 7 % scale.pods
            writer.run_pod(NAMESPACE, f"shop-6d4cf56db6-{number:05x}", address_of(number, 1 + serial), restarts=1 + serial)
            made += 1
        else:
            time.sleep(0.002)
    return made


def requests_of_the_agent(log: Path) -> Counter[str]:
    """As the server booked them when they came, without the writer's."""
    found: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["stage"] == "RequestReceived" and event.get("userAgent", "").startswith("honeyguide"):
            found[f"{event['verb']} {event['objectRef']['resource']}"] += 1
    return found


def measure(server: Any, writer: Any, peers: str, scale: argparse.Namespace) -> None:
    from cluster_scale import watch  # noqa: PLC0415 -- beside this file

    log = server.folder / "audit.log"
    before = requests_of_the_agent(log)
    ours, theirs = processes.Pipe()
    kubeconfig = str(writer.kubeconfig(writer.new_token(3600)))
    agent = processes.get_context("spawn").Process(target=watch, args=(theirs, kubeconfig, peers, False))
    agent.start()
    theirs.close()
    resident, peak, cpu, received, objects, _ = ours.recv()
    total, asked = sum(received.values()), dict(requests_of_the_agent(log) - before)
    print(f"{peers:<9} {sum(objects.values()):>6} objects  {resident:5.1f} MiB, at most {peak:5.1f}; ", end="")
    print(f"{cpu:.2f} s CPU, {total / 1e6:.2f} MB\n{'':9} requests: {asked}", flush=True)
    made = churn(writer, scale)
    time.sleep(1)
    ours.send(True)
    after, _, later, more, _, changes = ours.recv()
    share, rate = (later - cpu) / scale.seconds, (sum(more.values()) - total) / scale.seconds
    print(f"{'':9} {made / scale.seconds:.0f} changes/s: {100 * share:.1f} % of a core, {rate / 1e3:.1f} kB/s, ", end="")
    print(f"{after - resident:+.1f} MiB, {changes} facts told in all", flush=True)
    ours.send(False)
    agent.join()


def main() -> None:
    from cluster_writer import writing_to  # noqa: PLC0415 -- of the tests
    from real_api_server import KUBE_APISERVER, real_api_server  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("nodes", 100), ("pods", 5000), ("changes", 20), ("seconds", 30)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peers", choices=("off", "services", "pods"), action="append")
    scale = parser.parse_args()
    if KUBE_APISERVER.why_not():
        parser.error(KUBE_APISERVER.why_not())
    with tempfile.TemporaryDirectory() as folder, real_api_server(Path(folder)) as server, writing_to(server) as writer:
        writer.give_rights()
        began = time.monotonic()
        fill(writer, scale)
        print(f"{scale.pods} pods on {scale.nodes} nodes made in {time.monotonic() - began:.0f} s", flush=True)
        for peers in scale.peers or ("off", "services", "pods"):
            measure(server, writer, peers, scale)


if __name__ == "__main__":
    main()
