"""What is known of the cluster, for people: pods, and who held an address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from collector.cluster_view import AddressInfo, HolderInfo, PodInfo
from collector.enrich.address_timeline import Place, address_text, find_answer, read_timeline
from collector.enrich.cluster import Cluster
from collector.enrich.cluster_objects import FOREVER, Holder, KnownEndpoints, KnownPod, KnownService
from collector.enrich.names import NameTable
from collector.enrich.networks import NetworkTable

Wanted = Callable[[str, str, str, str], bool]  # UID, namespace, name, node


def report_pods(cluster: Cluster, pods: Sequence[KnownPod], offset: int, wanted: Wanted) -> Iterator[PodInfo]:
    """Those that are wanted; offset: unix time minus boot time."""
    for pod in pods:
        if wanted(pod.uid, pod.namespace, pod.name, pod.node):
            yield report_pod(cluster, pod, offset)


def report_pod(cluster: Cluster, pod: KnownPod, offset: int) -> PodInfo:
    """With the names that its workloads carry."""
    naming = cluster.name(pod)
    owner_kind, owner = pod.template.owners[-1] if pod.template.owners else ("", "")
    containers = [
        (name, identifier, image, role.value)
        for (name, image, role), identifier in zip(pod.template.containers, pod.identifiers, strict=True)
    ]
    return PodInfo(
        uid=pod.uid,
        name=pod.name,
        namespace=pod.namespace,
        node=pod.node,
        service=naming.name,
        owner_kind=owner_kind,
        owner=owner,
        addresses=[address_text(address) for address in pod.addresses],
        host_network=pod.host_network,
        containers=containers,
        started_at=wall(pod.started_at, offset),
        ended_at=wall(pod.until, offset),
        gone=pod.until != FOREVER or not cluster.pods.lives(pod.uid),
        source=pod.source.value if pod.source else "endpoints",
        attributes=naming.facts,
    )


def report_address(
    cluster: Cluster, place: Place, moment: int, offset: int, names: NameTable, networks: NetworkTable
) -> AddressInfo:
    """moment: boot_ns."""
    answer = find_answer(read_timeline(cluster, place), moment)
    key = answer.key if answer else None
    dns_name, network = names.name_of(place.address, moment) or "", networks.name_of(place.address)
    holders = [report_holder(one, offset) for one in cluster.holders.history(place.address)]
    if key is not None and answer is not None:
        naming = cluster.describe(key)
        name, namespace = (naming.name, naming.namespace) if naming else (key.name, key.namespace)
        return AddressInfo(key.kind.value, name, namespace, answer.evidence, holders, dns_name, network)
    if dns_name and not any(isinstance(one, KnownPod) for one in cluster.holders.history(place.address)):
        return AddressInfo("name", dns_name, "", "dns", holders, dns_name, network)
    evidence = answer.evidence if answer and holders else "network"
    return AddressInfo("network", network, "", evidence, holders, dns_name, network)


def report_holder(holder: Holder, offset: int) -> HolderInfo:
    kind, evidence = "node", "api_server"
    if isinstance(holder, KnownPod):
        kind = "pod"
        evidence = holder.source.value if holder.source else "endpoints"
        if holder.left:
            evidence += ", its last container was seen to go"
    elif isinstance(holder, KnownService | KnownEndpoints):
        kind = "service" if isinstance(holder, KnownService) else "endpoints"
    since, until = wall(holder.since, offset), wall(holder.until, offset)
    return HolderInfo(kind, holder.name, holder.namespace, holder.uid, since, until, evidence)


def wall(boot_ns: int, offset: int) -> int:
    """Unix ns; 0 for never and for always."""
    return boot_ns + offset if 0 < boot_ns < FOREVER else 0
