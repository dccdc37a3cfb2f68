"""One workload as clients see it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from collector.api.record_columns import text
from collector.workload import Workload


class WorkloadRecord(BaseModel):
    """Something that traffic belongs to."""

    number: int = text("Its identity in this run of the agent.", 17)
    kind: str = text("pod, container, unit, process, name, network or unknown.", "unit")
    name: str = text("What a person calls it.", "nginx.service")
    namespace: str = text("Its namespace, '' without one.", "")
    pod_uid: str | None = text("UID of its pod.", None)
    container_id: str | None = text("Id of its container.", None)
    cgroup_path: str | None = text("Its cgroup.", "/system.slice/nginx.service")


WORKLOAD_COLUMNS = tuple(WorkloadRecord.model_fields)


def workload_record(workload: Workload) -> dict[str, Any]:
    """The record of one workload."""
    return {
        "number": workload.number,
        "kind": workload.kind.value,
        "name": workload.name,
        "namespace": workload.namespace,
        "pod_uid": workload.pod_uid or None,
        "container_id": workload.container_id or None,
        "cgroup_path": workload.cgroup_path or None,
    }
