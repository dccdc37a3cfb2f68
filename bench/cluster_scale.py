"""What watching a large cluster costs one agent, for each choice of kubernetes_peers.

    .venv/bin/python bench/cluster_scale.py [--nodes 1000] [--pods 50000] [--services 5000] [--changes 50] [--seconds 60]
                                            [--pages] [--names] [--peers off|services|pods ...]

A double of the API server (tests/api_server_double.py) holds the cluster in a process of its own; the agent's part of it, the
room collector/kubernetes with everything else of the agent imported, runs in another and throws away what it learns. Bytes are
bodies before TLS. changes: pods that change a second, each with its endpoint slice; every node reports each 5 minutes besides.
pages: as with a server that does not know streaming lists. names: what is learnt goes to the table that names pods and
addresses, as in an agent. Loopback only.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing as processes
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collector.cluster_facts import FactChange, FactSink

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

NODE = "node-7"
HEARTBEAT_SECONDS = 300
PEERS = ("off", "services", "pods")


def pod_of(number: int, scale: argparse.Namespace, round_: int = 0) -> dict[str, Any]:
    from cluster_objects import owner, pod, uid_of  # noqa: PLC0415 -- of the server's process

    service, namespace = number % scale.services, f"team-{number % scale.services % 50}"
    made_by = owner("ReplicaSet", f"service-{service}-5f7d8c", uid_of("ReplicaSet", namespace, f"service-{service}-5f7d8c"))
    return pod(
        f"service-{service}-5f7d8c-{number:05x}",
        namespace=namespace,
        node=f"node-{number % scale.nodes}",
        addresses=(address_of(number, round_),),
        owned_by=made_by,
        containers=("app", "sidecar"),
        labels={"app": f"service-{service}", "app.kubernetes.io/name": f"service-{service}", "pod-template-hash": "5f7d8c"},
    )


def address_of(number: int, round_: int) -> str:
    return f"10.{number >> 12 & 255}.{number >> 4 & 255}.{(number & 15) * 16 + round_ % 16}"


def slice_of(service: int, scale: argparse.Namespace, round_: int = 0) -> dict[str, Any]:
    """round_: of the address of its first endpoint."""
    from cluster_objects import endpoint, endpoint_slice  # noqa: PLC0415

    namespace, members = f"team-{service % 50}", range(service, scale.pods, scale.services)
    endpoints = [
        endpoint(
            address_of(number, round_ if number == service else 0),
            f"service-{service}-5f7d8c-{number:05x}",
            namespace,
            f"node-{number % scale.nodes}",
        )
        for number in members
    ]
    return endpoint_slice(f"service-{service}-abcde", f"service-{service}", endpoints, namespace)


def fill(cluster: Any, scale: argparse.Namespace) -> None:
    from cluster_objects import node, replica_set, service  # noqa: PLC0415

    for number in range(scale.nodes):
        cluster.put("nodes", node(f"node-{number}", f"192.0.{number >> 8}.{number & 255}"))
    for number in range(scale.services):
        namespace = f"team-{number % 50}"
        cluster.put("services", service(f"service-{number}", namespace, f"10.96.{number >> 8}.{number & 255}"))
        cluster.put("replicasets", replica_set(f"service-{number}-5f7d8c", f"service-{number}", namespace))
        cluster.put("endpointslices", slice_of(number, scale))
    for number in range(scale.pods):
        cluster.put("pods", pod_of(number, scale))


def churn(cluster: Any, scale: argparse.Namespace, seconds: float) -> int:
    """Changes made: pods, of each the first of a service, with that service's slice; and the nodes' reports."""
    from cluster_objects import node  # noqa: PLC0415

    begun, made, reports, chance = time.monotonic(), 0, 0, random.Random(1)
    while (passed := time.monotonic() - begun) < seconds:
        if made < passed * scale.changes:
            service, round_ = chance.randrange(scale.services), 1 + made % 15
            cluster.put("pods", pod_of(service, scale, round_))
            cluster.put("endpointslices", slice_of(service, scale, round_))
            made += 1
        elif reports < passed * scale.nodes / HEARTBEAT_SECONDS:
            number = reports % scale.nodes
            cluster.put("nodes", node(f"node-{number}", f"192.0.{number >> 8}.{number & 255}"))
            reports += 1
        else:
            time.sleep(0.002)
    return made


def serve(pipe: Connection, folder: str, scale: argparse.Namespace) -> None:
    """The server's process: says where its kubeconfig is, then makes changes for as many seconds as it is told; 0 ends it."""
    from api_server_double import api_server_double  # noqa: PLC0415

    with api_server_double(Path(folder)) as cluster:
        cluster.streaming_lists = not scale.pages
        cluster.store.kept_changes = 20_000
        fill(cluster, scale)
        pipe.send(str(cluster.kubeconfig))
        while seconds := pipe.recv():
            pipe.send(churn(cluster, scale, seconds))


class Counting:
    """A sink that counts, and hands on to another."""

    def __init__(self, names: FactSink | None) -> None:
        self.changes, self.names = 0, names

    def learn(self, changes: Sequence[FactChange]) -> None:
        self.changes += len(changes)
        if self.names is not None:
            self.names.learn(changes)


def resident_mib() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """Since the last call of forget_peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def names_of_identity() -> FactSink:
    """What an agent keeps to name pods and addresses with."""
    from collector.clock import SystemClock  # noqa: PLC0415 -- of the agent's process
    from collector.enrich.identity import build_identities  # noqa: PLC0415

    return build_identities(clock=SystemClock()).cluster


def watch(pipe: Connection, kubeconfig: str, peers: str, names: bool) -> None:
    """The agent's process: reports after everything was told, and again when it is asked to."""
    import collector.agent  # noqa: PLC0415 -- the baseline is an agent without Kubernetes
    import collector.api.server  # noqa: PLC0415, F401
    from collector.cluster_choice import choose_cluster_watch  # noqa: PLC0415
    from collector.settings import Settings  # noqa: PLC0415

    sink = Counting(names_of_identity() if names else None)
    before = resident_mib()
    forget_peak()
    cpu = cpu_seconds()
    settings = Settings(kubeconfig=Path(kubeconfig), node_name=NODE, kubernetes_peers=peers)  # type: ignore[arg-type]
    agent = choose_cluster_watch(settings, {}, sink)
    assert agent is not None
    agent.start()
    while not all(one.state.value in ("synced", "refused") for one in agent.statuses()):
        time.sleep(0.05)
    time.sleep(1)
    while True:
        bytes_ = {one.resource: one.received for one in agent.statuses()}
        objects = {one.resource: one.objects for one in agent.statuses()}
        pipe.send((resident_mib() - before, peak_mib() - before, cpu_seconds() - cpu, bytes_, objects, sink.changes))
        if not pipe.recv():
            break
    agent.stop()


def measure(server: Connection, kubeconfig: str, peers: str, scale: argparse.Namespace) -> None:
    ours, theirs = processes.Pipe()
    agent = processes.get_context("spawn").Process(target=watch, args=(theirs, kubeconfig, peers, scale.names))
    agent.start()
    theirs.close()
    resident, peak, cpu, received, objects, _ = ours.recv()
    total = sum(received.values())
    print(f"{peers:<9} {sum(objects.values()):>7} objects  {resident:6.1f} MiB, at most {peak:6.1f}  ", end="")
    print(f"start: {cpu:5.2f} s CPU, {total / 1e6:7.2f} MB", flush=True)
    server.send(scale.seconds)
    made = server.recv()
    time.sleep(1)
    ours.send(True)
    after, _, later, more, _, changes = ours.recv()
    share, rate = (later - cpu) / scale.seconds, (sum(more.values()) - total) / scale.seconds
    print(f"{'':9} {made / scale.seconds:.0f} changes/s: {100 * share:.2f} % of a core, {rate / 1e3:.1f} kB/s, ", end="")
    print(f"{after - resident:+.1f} MiB, {changes} facts told in all")
    print(f"{'':9} bytes at start: {json.dumps(received)}", flush=True)
    ours.send(False)
    agent.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("nodes", 1000), ("pods", 50_000), ("services", 5000), ("changes", 50), ("seconds", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--pages", action="store_true")
    parser.add_argument("--names", action="store_true")
    parser.add_argument("--peers", choices=PEERS, action="append")
    scale = parser.parse_args()
    ours, theirs = processes.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        server = processes.get_context("spawn").Process(target=serve, args=(theirs, folder, scale))
        server.start()
        theirs.close()
        kubeconfig = ours.recv()
        print(f"{scale.nodes} nodes, {scale.pods} pods, {scale.services} services with a slice each", flush=True)
        for peers in scale.peers or PEERS:
            measure(ours, kubeconfig, peers, scale)
        ours.send(0)
        server.join()


if __name__ == "__main__":
    main()
