"""One workload as clients see it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from collector.api.record_columns import text
from collector.workload import Workload


class WorkloadRecord(BaseModel):
    """Something that traffic belongs to."""

    number: int = text("Its identity in this run of the agent.", 17)
    kind: str = text("pod, container, unit, process, service, node, address, name, network or unknown.", "unit")
    name: str = text("What a person calls it.", "nginx.service")
    namespace: str = text("Its namespace, '' without one.", "")
    pod: str | None = text("Name of its pod.", None)
    container: str | None = text("Name of its container.", None)
    node: str | None = text("Node of the cluster that it is on.", None)
    pod_uid: str | None = text("UID of its pod.", None)
    container_id: str | None = text("Id of its container.", None)
    cgroup_path: str | None = text("Its cgroup.", "/system.slice/nginx.service")
    attributes: dict[str, str] = text(
        "What a cluster or a runtime told, by OpenTelemetry's names.", {"k8s.deployment.name": "cart"}
    )


WORKLOAD_COLUMNS = tuple(WorkloadRecord.model_fields)


def workload_record(workload: Workload) -> dict[str, Any]:
    """The record of one workload."""
    return {
        "number": workload.number,
        "kind": workload.kind.value,
        "name": workload.name,
        "namespace": workload.namespace,
        "pod": workload.pod_name or None,
        "container": workload.container_name or None,
        "node": workload.facts.get("k8s.node.name"),
        "pod_uid": workload.pod_uid or None,
        "container_id": workload.container_id or None,
        "cgroup_path": workload.cgroup_path or None,
        "attributes": dict(workload.facts),
    }
