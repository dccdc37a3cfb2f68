"""Facts as an API server would tell them, in few words; and identities with a clock that is a second ahead of boot time."""

from __future__ import annotations

from typing import Any

from collector.clock import FixedClock
from collector.cluster_facts import (
    ClusterNode,
    Container,
    Endpoint,
    EndpointSlice,
    Fact,
    FactChange,
    FactSource,
    Owner,
    Pod,
    Service,
    ServicePort,
)
from collector.enrich.cluster import DEFAULT_CHOICE
from collector.enrich.identity import Identities, build_identities
from collector.enrich.pod_attributes import NamingChoice
from enrich.batches import SECOND, address

OFFSET = 1_700_000_000 * SECOND  # unix time of boot


def known(*facts: FactChange, choice: NamingChoice = DEFAULT_CHOICE) -> Identities:
    identities = build_identities(clock=FixedClock(OFFSET), choice=choice)
    identities.cluster.learn(facts)
    return identities


def learnt(fact: Fact, at: float = 0, gone: bool = False, source: FactSource = FactSource.API_SERVER) -> FactChange:
    """at: seconds since boot; 0: as of the first moment."""
    return FactChange(fact, OFFSET + int(at * SECOND) if at else 0, gone, source)


def pod(uid: str, *addresses: str, started: float = 0, deployment: str = "", **more: Any) -> Pod:
    """started: seconds since boot, 0: not known. Its name is `pod-` and its UID, its namespace is shop."""
    owners = (Owner("ReplicaSet", f"{deployment}-5d9"), Owner("Deployment", deployment)) if deployment else ()
    standard: dict[str, Any] = {"namespace": "shop", "owners": owners, "node": "node-1"}
    standard["started_at"] = OFFSET + int(started * SECOND) if started else 0
    return Pod(uid, f"pod-{uid}", addresses=tuple(map(address, addresses)), **(standard | more))


def container(name: str, identifier: str, image: str = "registry.example:5000/shop/cart:1.2") -> Container:
    return Container(name, identifier, image)


def service(name: str, *addresses: str, port: int = 80, external: tuple[str, ...] = (), **more: Any) -> Service:
    return Service(
        f"uid-{name}", name, "shop", cluster_addresses=tuple(map(address, addresses)),
        external_addresses=tuple(map(address, external)), ports=(ServicePort("tcp", port, more.pop("node_port", 0)),), **more,
    )  # fmt: skip


def endpoints(name: str, *ends: tuple[str, str], port: int = 5432) -> EndpointSlice:
    """ends: (address, UID of the pod or '')."""
    made = tuple(Endpoint(address(text), uid, f"pod-{uid}" if uid else "") for text, uid in ends)
    return EndpointSlice(f"slice-{name}", f"{name}-x1", "shop", name, made, (ServicePort("tcp", port),))


def node(name: str, *addresses: str) -> ClusterNode:
    return ClusterNode(f"uid-{name}", name, tuple(map(address, addresses)))
