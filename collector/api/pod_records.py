"""Pods, and holders of addresses, as clients see them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from collector.api.moments import write_moment
from collector.api.record_columns import text
from collector.cluster_view import AddressInfo, HolderInfo, PodInfo


class PodRecord(BaseModel):
    """One pod that the cluster or a runtime told of."""

    name: str = text("Its name.", "cart-7d9f")
    namespace: str = text("Its namespace.", "shop")
    uid: str = text("Its UID.", "0c8b1c5e-52d4-4a70-9e0e-5d6e6a0f7a11")
    workload: str = text("Its service.name, which flows and metrics are named by.", "cart")
    owner_kind: str | None = text("Kind of its outermost owner.", "Deployment")
    owner: str | None = text("Name of its outermost owner.", "cart")
    node: str | None = text("The node it is on.", "node-7")
    addresses: list[str] = text("Its own addresses, those of its end when it is gone.", ["10.0.0.5"])
    host_network: bool = text("Whether it has the node's addresses; then it is told by its cgroup only.", False)
    containers: list[str] = text("Names of its containers.", ["server"])
    started_at: str | None = text("When it started.", "2026-11-23T08:00:00.000000Z")
    ended_at: str | None = text("When its addresses became free; null while they are its own.", None)
    gone: bool = text("Whether it is no more.", False)
    source: str = text("Who told of it: api_server, runtime or endpoints.", "api_server")
    attributes: dict[str, str] = text("By OpenTelemetry's names.", {"k8s.deployment.name": "cart"})


POD_COLUMNS = tuple(PodRecord.model_fields)


class PodsAnswer(BaseModel):
    """Pods in the order in which they became known; those that went lately come last."""

    total: int = text("How many fit, also beyond `limit`.", 1)
    pods: list[PodRecord]


def pod_record(pod: PodInfo) -> dict[str, Any]:
    """The record of one pod."""
    return {
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "workload": pod.service,
        "owner_kind": pod.owner_kind or None,
        "owner": pod.owner or None,
        "node": pod.node or None,
        "addresses": list(pod.addresses),
        "host_network": pod.host_network,
        "containers": [name for name, _, _, _ in pod.containers],
        "started_at": write_moment(pod.started_at),
        "ended_at": write_moment(pod.ended_at),
        "gone": pod.gone,
        "source": pod.source,
        "attributes": dict(pod.attributes),
    }


class HolderRecord(BaseModel):
    """Somebody who held the address for a time."""

    kind: str = text("pod, service, endpoints or node.", "pod")
    name: str = text("Its name.", "cart-7d9f")
    namespace: str = text("Its namespace, '' without one.", "shop")
    uid: str = text("Its UID.", "0c8b1c5e-52d4-4a70-9e0e-5d6e6a0f7a11")
    since: str | None = text("From when on; null: as far back as is known.", "2026-11-23T08:00:00.000000Z")
    until: str | None = text("Until when; null: it still does.", None)
    evidence: str = text("Who says so.", "api_server")


class ResolveAnswer(BaseModel):
    """Who held an address at a moment."""

    address: str = text("The address.", "10.0.0.5")
    at: str | None = text("The moment.", "2026-11-23T08:00:00.000000Z")
    kind: str = text("Kind of the peer that a flow opened then would be named by.", "pod")
    name: str = text("Its name; for kind network the class of the address.", "cart")
    namespace: str = text("Its namespace, '' without one.", "shop")
    evidence: str = text(
        "How that is known: pod, service, several services, node, dns, network; or why it is not: nobody, 2 pods, ...", "pod"
    )
    dns_name: str | None = text("Name that led to the address before that moment.", None)
    network: str = text("Class of the address.", "private")
    holders: list[HolderRecord]


def resolve_record(address: str, at_ns: int, found: AddressInfo) -> dict[str, Any]:
    """The answer about one address."""
    return {
        "address": address,
        "at": write_moment(at_ns),
        "kind": found.kind,
        "name": found.name,
        "namespace": found.namespace,
        "evidence": found.evidence,
        "dns_name": found.dns_name or None,
        "network": found.network,
        "holders": [holder_record(one) for one in found.holders],
    }


def holder_record(holder: HolderInfo) -> dict[str, Any]:
    named = {"kind": holder.kind, "name": holder.name, "namespace": holder.namespace, "uid": holder.uid}
    return {
        **named, "since": write_moment(holder.since), "until": write_moment(holder.until), "evidence": holder.evidence
    }  # fmt: skip
