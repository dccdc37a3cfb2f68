"""What is one node of the service map: workloads of the same name, or all of a pod, or of a namespace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collector.batch import Column
from collector.store.parameter_error import check_names
from collector.store.workload_names import WorkloadNames
from collector.workload import Workload, WorkloadKind


@dataclass(frozen=True, slots=True)
class MapNode:
    """kind: of the workload, or namespace."""

    kind: str
    name: str
    namespace: str


def by_workload(workload: Workload) -> MapNode:
    return MapNode(workload.kind.value, workload.name, workload.namespace)


def by_pod(workload: Workload) -> MapNode:
    """A pod with all its containers; what is no pod stays what it is."""
    if workload.kind is not WorkloadKind.POD:
        return by_workload(workload)
    return MapNode(workload.kind.value, workload.pod_name or workload.pod_uid, workload.namespace)


def by_namespace(workload: Workload) -> MapNode:
    """All that is in a namespace; what is in none stays what it is."""
    return MapNode("namespace", workload.namespace, "") if workload.namespace else by_workload(workload)


NODES = {"workload": by_workload, "pod": by_pod, "namespace": by_namespace}


class MapNodes:
    """Numbers of workloads to the number that stands for their node. ParameterError for a `by` that is not one of NODES."""

    def __init__(self, names: WorkloadNames, by: str = "workload") -> None:
        check_names("by", [by], NODES)
        self._names, self._node_of = names, NODES[by]
        self._number_of: dict[MapNode, int] = {}
        self._merged: dict[int, int] = {}

    def node(self, number: int) -> MapNode:
        return self._node_of(self._names.get(number))

    def merge(self, numbers: Column) -> Column:
        """int64, shape (n,): for each the first number that was asked about and is of the same node."""
        distinct, which = np.unique(numbers, return_inverse=True)
        merged = np.array([self._merge(number) for number in distinct.tolist()], np.int64)
        column: Column = merged[which] if len(merged) else np.zeros(0, np.int64)
        return column

    def _merge(self, number: int) -> int:
        known = self._merged.get(number)
        if known is None:
            known = self._merged[number] = self._number_of.setdefault(self.node(number), number)
        return known
