"""From a pod's JSON to a Pod: whole for those of this node, without containers for the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from collector.cluster_facts import Container, ContainerRole, Owner, Pod
from collector.kubernetes.fact_reading import AllowList, identity_of, owner_of, read_addresses, read_time, shared
from collector.kubernetes.shapes import ContainerStatus, Metadata, PodShape, PodStatus

MIRROR = "kubernetes.io/config.mirror"  # on a static pod's stand-in: the UID that the kubelet gave the real one
TEMPLATE_HASH = "pod-template-hash"  # the deployment controller names ReplicaSets <deployment>-<hash>
OVER = ("Succeeded", "Failed")

_pod = msgspec.json.Decoder(PodShape)


@dataclass(frozen=True, slots=True)
class PodReader:
    """node: the one whose pods are read whole; labels, annotations: what is kept of them."""

    node: str
    labels: AllowList
    annotations: AllowList

    def read(self, raw: bytes | msgspec.Raw) -> Pod:
        """ValueError for what is no pod."""
        shape = _pod.decode(raw)
        metadata, status, ours = shape.metadata, shape.status, shape.spec.node_name == self.node
        owner = owner_of(metadata)
        owners = () if owner is None else (owner, *_deployment_of(owner, metadata))
        listed = [one.ip for one in status.pod_ips or ()] or [status.pod_ip]
        return Pod(
            **identity_of(metadata),
            node=shared(shape.spec.node_name),
            addresses=read_addresses(listed),
            host_network=bool(shape.spec.host_network),
            owners=owners,
            containers=tuple(_containers(status)) if ours else (),
            labels=self.labels.keep(metadata.labels),
            annotations=self.annotations.keep(metadata.annotations),
            started_at=read_time(status.start_time),
            finished=status.phase in OVER,
            mirror_uid=(metadata.annotations or {}).get(MIRROR, ""),
        )


def infer_deployment(owner: Owner, template_hash: str) -> Owner | None:
    """By the name's form, until the ReplicaSet itself was asked (owner_lookup.py), or where it is not. The UID stays unknown."""
    name = owner.name.removesuffix(f"-{template_hash}") if template_hash else owner.name
    return Owner("Deployment", shared(name)) if owner.kind == "ReplicaSet" and name != owner.name else None


def _deployment_of(owner: Owner, metadata: Metadata) -> tuple[Owner, ...]:
    inferred = infer_deployment(owner, (metadata.labels or {}).get(TEMPLATE_HASH, ""))
    return () if inferred is None else (inferred,)


def _containers(status: PodStatus) -> Iterable[Container]:
    kinds = (
        (ContainerRole.INIT, status.init_container_statuses),
        (ContainerRole.MAIN, status.container_statuses),
        (ContainerRole.EPHEMERAL, status.ephemeral_container_statuses),
    )
    for role, statuses in kinds:
        for one in statuses or ():
            yield _container(one, role)


def _container(status: ContainerStatus, role: ContainerRole) -> Container:
    """containerID is runtime://identifier, e.g. containerd://0a1b...; empty before it was made."""
    identifier = status.container_id.rpartition("://")[2]
    return Container(shared(status.name), identifier, shared(status.image), role, status.restart_count)
