"""What it costs to know a cluster: memory for each pod, CPU for each fact, and for each address that is asked about.

    .venv/bin/python bench/cluster_names.py [--pods 50000]

Pods as an API server tells them, of deployments of 50 pods each, one container and one address each; facts come 256 at a time.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
import uuid
from collections.abc import Iterator

import numpy as np

from collector.clock import FixedClock
from collector.cluster_facts import Container, FactChange, Owner, Pod
from collector.enrich.cluster_peers import ClusterPeers, Question
from collector.enrich.identity import Identities, build_identities

AT_ONCE = 256
STARTED = 1_700_000_000 * 1_000_000_000
TCP = 6


def address_of(number: int) -> bytes:
    return bytes(10) + b"\xff\xff" + (0x0A000000 + number).to_bytes(4, "big")


def make_facts(count: int) -> Iterator[list[FactChange]]:
    for start in range(0, count, AT_ONCE):
        yield [FactChange(make_pod(number)) for number in range(start, min(start + AT_ONCE, count))]


def make_pod(number: int) -> Pod:
    service = f"service-{number // 50}"
    return Pod(
        str(uuid.UUID(int=number)),
        f"{service}-5d9f8c7b6-{number:05x}",
        f"team-{number // 1000}",
        f"node-{number % 1000}",
        (address_of(number),),
        owners=(Owner("ReplicaSet", f"{service}-5d9f8c7b6"), Owner("Deployment", service)),
        containers=(Container("app", uuid.UUID(int=number).hex * 2, "registry.example/team/service:1.2.3"),),
        labels={"app.kubernetes.io/name": service},
        started_at=STARTED,
    )


def measure_memory(count: int) -> float:
    """Bytes for each pod, all that is kept of it."""
    identities = build_identities(clock=FixedClock(0))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for changes in make_facts(count):
        identities.cluster.learn(changes)
        del changes
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return kept / count


def measure_learning(count: int) -> tuple[Identities, float]:
    """CPU seconds for each fact."""
    identities, facts = build_identities(200_000, clock=FixedClock(0)), list(make_facts(count))
    started = time.process_time()
    for changes in facts:
        identities.cluster.learn(changes)
    return identities, (time.process_time() - started) / count


def measure_asking(identities: Identities, count: int) -> tuple[float, float]:
    """CPU seconds for each distinct address, when it is asked about first and again."""
    peers = ClusterPeers(identities.cluster, identities)
    octets = np.frombuffer(b"".join(map(address_of, range(count))), np.uint8).reshape(-1, 16)
    moment = np.full(count, STARTED + 1, np.uint64)
    question = Question(np.full(count, TCP), octets, np.full(count, 80), moment)
    spent = []
    for _ in range(2):
        started = time.process_time()
        if not peers.find(question).all():
            raise SystemExit("an address was not found")
        spent.append((time.process_time() - started) / count)
    return spent[0], spent[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=50_000, help="how many (50000)")
    count = parser.parse_args().pods
    print(f"{count} pods: {measure_memory(count):.0f} bytes each")
    identities, fact = measure_learning(count)
    first, again = measure_asking(identities, min(count, 16_000))
    print(f"CPU: {fact * 1e6:.1f} us a fact; an address {first * 1e6:.1f} us when asked about first, {again * 1e6:.1f} us again")


if __name__ == "__main__":
    main()
