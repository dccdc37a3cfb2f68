"""Names of workloads to numbers, and back, for the time of one answer."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable

from collector.workload import Workload, WorkloadKind

SHORT_CONTAINER_ID = 12
NODE_NAME = "k8s.node.name"
LABEL_PREFIXES = ("k8s.pod.label.", "container.label.")
NamesOf = Callable[[Workload], tuple[str, ...]]


def label(workload: Workload) -> str:
    """What a person calls it: namespace/name, or the name alone."""
    return f"{workload.namespace}/{workload.name}" if workload.namespace else workload.name


def pod_label(workload: Workload) -> str:
    """namespace/name of its pod, its UID while that is not known; '' for what is no pod."""
    if workload.kind is not WorkloadKind.POD:
        return ""
    name = workload.pod_name or (workload.name if not workload.facts else workload.pod_uid)
    return f"{workload.namespace}/{name}" if workload.namespace else name


def pod_names(workload: Workload) -> tuple[str, ...]:
    """What a pod may be called by whoever asks for it."""
    told = () if workload.facts else (workload.name, label(workload))
    return (workload.pod_uid, workload.facts.get("k8s.pod.uid", ""), workload.pod_name, pod_label(workload), *told)


def labels_of(workload: Workload) -> tuple[str, ...]:
    return tuple(
        f"{name.removeprefix(prefix)}={value}"
        for name, value in workload.facts.items()
        for prefix in LABEL_PREFIXES
        if name.startswith(prefix)
    )


class WorkloadNames:
    """All workloads known at one moment. A pattern is a name in full; `*` and `?` in it stand for any text and any letter."""

    def __init__(self, workloads: Iterable[Workload]) -> None:
        self._by_number = {workload.number: workload for workload in workloads}

    def get(self, number: int) -> Workload:
        """The workload; one called `forgotten` when there is none of that number any more."""
        return self._by_number.get(number) or Workload(number, WorkloadKind.UNKNOWN, "forgotten")

    def all(self) -> list[Workload]:
        """Every workload, by number."""
        return sorted(self._by_number.values(), key=lambda workload: workload.number)

    def named(self, patterns: tuple[str, ...]) -> set[int]:
        """Numbers of those whose name or namespace/name fits."""
        return self._fitting(patterns, lambda w: (w.name, label(w)))

    def in_namespaces(self, patterns: tuple[str, ...]) -> set[int]:
        return self._fitting(patterns, lambda w: (w.namespace,))

    def of_pods(self, patterns: tuple[str, ...]) -> set[int]:
        """Numbers of containers of pods whose uid, name or namespace/name fits."""
        return self._fitting(patterns, lambda w: pod_names(w) if w.kind is WorkloadKind.POD else ())

    def of_containers(self, patterns: tuple[str, ...]) -> set[int]:
        """Numbers of those whose container id (whole, or its first 12 characters or more) or container name fits."""
        wanted = tuple(f"{p}*" if len(p) >= SHORT_CONTAINER_ID else p for p in patterns)
        by_name = self._fitting(patterns, lambda w: (w.name,) if w.kind is WorkloadKind.CONTAINER else (w.container_name,))
        return by_name | self._fitting(wanted, lambda w: (w.container_id,))

    def on_nodes(self, patterns: tuple[str, ...]) -> set[int]:
        """Numbers of pods on these nodes of the cluster, and of the nodes themselves."""
        return self._fitting(patterns, lambda w: (w.name,) if w.kind is WorkloadKind.NODE else (w.facts.get(NODE_NAME, ""),))

    def labelled(self, patterns: tuple[str, ...]) -> set[int]:
        """Numbers of those with one of these labels, key=value; of labels that are kept (`kubernetes_labels`)."""
        return self._fitting(patterns, labels_of)

    def _fitting(self, patterns: tuple[str, ...], names: NamesOf) -> set[int]:
        fits = matcher(patterns)
        return {number for number, workload in self._by_number.items() if any(name and fits(name) for name in names(workload))}


def matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a text fits one of the patterns. Brackets mean themselves: names of units and commands hold them."""
    fits = [re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match for pattern in patterns]
    return lambda text: any(fit(text) for fit in fits)
