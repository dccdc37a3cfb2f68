"""What one address and port meant, moment by moment: from the holders that are known to one answer for each stretch of time.

A pod comes first, then a service that is meant by address and port, then the node. Where several could be meant there is no
answer; where several services share an address and the port does not tell, the answer is the shared address itself.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collector.enrich.cluster import Cluster
from collector.enrich.cluster_objects import FOREVER, Holder, KnownEndpoints, KnownNode, KnownPod, KnownService
from collector.enrich.pod_intervals import Held, pod_intervals
from collector.enrich.workload_table import WorkloadKey
from collector.workload import WorkloadKind

NOBODY = "nobody"
Services = KnownService | KnownEndpoints


class Place(NamedTuple):
    """address: 16 bytes; port: 0 when it says nothing about services."""

    address: bytes
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """From `since` (boot_ns) to the next answer. key: who; None for nobody, or nobody certain. evidence: how that is known."""

    since: int
    key: WorkloadKey | None
    evidence: str


def read_timeline(cluster: Cluster, place: Place) -> list[Answer]:
    """In order of time, beginning with the first moment at which the address had a holder; empty when it never had one."""
    holders = cluster.holders.history(place.address)
    if not holders:
        return []
    at_port = node_port_services(cluster, place) if any(isinstance(one, KnownNode) for one in holders) else ()
    held = [*pod_intervals(holders), *(Held(one, one.since, one.until) for one in holders if not isinstance(one, KnownPod))]
    complete_from = cluster.holders.complete_from(place.address)
    moments = {moment for one in held for moment in one[1:]} | {one.since for one in at_port} | {complete_from}
    answers: list[Answer] = []
    for moment in sorted(moment for moment in moments if moment >= complete_from):
        answer = decide([one.holder for one in held if one.start <= moment < one.end], at_port, place, moment)
        before = answers[-1].key if answers else None
        if moment < FOREVER and (answer.key != before or (not answers and answer.evidence != NOBODY)):
            answers.append(answer)
    return answers


def find_answer(timeline: Sequence[Answer], moment: int) -> Answer | None:
    """What holds at that moment; None before the first answer."""
    index = bisect_right(timeline, moment, key=lambda answer: answer.since)
    return timeline[index - 1] if index else None


def node_port_services(cluster: Cluster, place: Place) -> Sequence[KnownService]:
    return cluster.services.at_node_port(place.protocol, place.port) if place.port else ()


def decide(there: Iterable[Holder], at_port: Iterable[KnownService], place: Place, moment: int) -> Answer:
    """Who of those that had the address at that moment was meant."""
    pods = {one.uid: one for one in there if isinstance(one, KnownPod)}
    if pods:
        key = key_of_pod(next(iter(pods.values()))) if len(pods) == 1 else None
        return Answer(moment, key, "pod" if key else f"{len(pods)} pods")
    nodes = {one.name: one for one in there if isinstance(one, KnownNode)}
    behind = [one for one in at_port if one.since <= moment < one.until] if nodes else []
    services = [one for one in there if isinstance(one, Services)] if place.port else []
    found = choose_service(services, behind, place, alone=not nodes)
    if found is not None:
        return Answer(moment, found, "service" if found.kind is WorkloadKind.SERVICE else "several services")
    if len(nodes) == 1:
        return Answer(moment, WorkloadKey(WorkloadKind.NODE, next(iter(nodes))), "node")
    return Answer(moment, None, f"{len(nodes)} nodes" if nodes else NOBODY)


def choose_service(
    services: Sequence[Services], behind_node_port: Sequence[KnownService], place: Place, *, alone: bool
) -> WorkloadKey | None:
    """The one service that answers at that port; without one, the only service there if nothing else has the address.

    alone: no node has that address.
    """
    answering = {name_of(one) for one in services if (place.protocol, place.port) in one.ports}
    answering |= {name_of(one) for one in behind_node_port}
    names = {name_of(one) for one in services if isinstance(one, KnownService)}
    if len(answering) == 1:
        namespace, name = answering.pop()
        return WorkloadKey(WorkloadKind.SERVICE, name, namespace)
    if len(answering) > 1 or (alone and len(names) > 1):
        return WorkloadKey(WorkloadKind.ADDRESS, address_text(place.address))
    if alone and len(names) == 1:
        namespace, name = names.pop()
        return WorkloadKey(WorkloadKind.SERVICE, name, namespace)
    return None


def name_of(service: Services) -> tuple[str, str]:
    return service.namespace, service.name


def key_of_pod(pod: KnownPod) -> WorkloadKey:
    """The pod as a whole, by the UID that its cgroup carries, so that it is the same as seen from inside."""
    uid = pod.cgroup_uid or pod.uid
    return WorkloadKey(WorkloadKind.POD, uid, pod_uid=uid)


def address_text(address: bytes) -> str:
    """As people write it."""
    parsed = ipaddress.IPv6Address(address)
    return str(parsed.ipv4_mapped or parsed)
