"""Which attributes of a workload become labels on /metrics: few by default, each costs memory in whatever scrapes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from collector.workload import Workload


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """attributes: names for all metrics, None for every attribute there is; of_metric: other names for some metrics."""

    attributes: Sequence[str] | None = None
    of_metric: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def names_for(self, metric: str) -> Sequence[str] | None:
        return self.of_metric.get(metric, self.attributes)


ALL_LABELS = LabelChoice()


def read_label_choice(entries: Iterable[str]) -> LabelChoice:
    """entries: NAME, or METRIC:NAME+NAME."""
    common: list[str] = []
    of_metric: dict[str, Sequence[str]] = {}
    for entry in entries:
        metric, colon, names = entry.rpartition(":")
        if colon:
            of_metric[metric] = names.split("+")
        else:
            common.append(names)
    return LabelChoice(common, of_metric)


def chosen_attributes(workload: Workload, names: Sequence[str] | None) -> dict[str, str]:
    """Those of its attributes that were chosen, in that order; all for None."""
    attributes = workload.attributes()
    return attributes if names is None else {name: attributes[name] for name in names if name in attributes}
