"""docs/metrics.md: every instrument with both of its names, from the same table the exporters read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.export.prometheus_names import family_name, label_name, sample_names
from collector.instruments import Instrument, InstrumentKind
from collector.settings import Settings

OF_EVERY_WORKLOAD = ("service.name", "service.namespace", "honeyguide.workload.kind")
OF_PODS = (
    "k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.container.name", "k8s.node.name", "k8s.deployment.name",
    "k8s.replicaset.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name", "service.version",
)  # fmt: skip
OF_CONTAINERS = ("container.id", "container.name", "container.runtime", "container.image.name", "container.image.tags")
OF_THE_PEER = ("service.peer.name", "service.peer.namespace")

HEAD = """# Metrics

Made from the probes' manifests and `collector/self_metrics.py` by `python docs/build_metrics.py`; a test keeps it in step.
Do not edit.

Names follow OpenTelemetry; the Prometheus names on `/metrics` are derived from them: dots become underscores, the unit becomes a
suffix, counters end in `_total`. A histogram has the three names `_bucket`, `_sum` and `_count`.

"""


def names_in(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def default_labels() -> Sequence[str]:
    """Attributes that are labels unless the settings say otherwise."""
    return tuple(Settings.model_fields["prometheus_labels"].default)


WHOSE = f"""## Whose numbers they are

Over OTLP each workload is a resource, with as many of these attributes as are known, and with `host.name`, `host.id` and
`service.instance.id`:

- every workload: {names_in(OF_EVERY_WORKLOAD)}
- containers of pods: {names_in(OF_PODS)}, and pod labels and annotations as
  `kubernetes_labels` and `kubernetes_annotations` say
- containers: {names_in(OF_CONTAINERS)}

How a pod's `service.*` are found: [kubernetes-names.md](kubernetes-names.md). On `/metrics` the attributes that the setting
`prometheus_labels` names are labels, by default {", ".join(f"`{label_name(name)}`" for name in default_labels())};
`target_info` tells about the agent.

In the tables *workload* stands for these, and *peer* for {names_in(OF_THE_PEER)} of the other side of
a connection. Numbers without a workload belong to the agent, whose `service.name` is `honeyguide`, or to the whole node.
"""


@dataclass(frozen=True, slots=True)
class DocumentedInstrument:
    """probe: '' for the agent's own; words are a title of their own. identity: local, peer, both or none.

    attributes: OpenTelemetry names.
    """

    instrument: Instrument
    probe: str = ""
    identity: Sequence[str] = ()
    attributes: Sequence[str] = ()


def reference(instruments: Sequence[DocumentedInstrument]) -> str:
    """The page. The agent's own instruments come last, probes in the order of their first instrument."""
    probes = sorted(dict.fromkeys(one.probe for one in instruments), key=lambda probe: (probe == "", probe))
    sections = [_section(probe, [one for one in instruments if one.probe == probe]) for probe in probes]
    return HEAD + WHOSE + "".join(sections)


def queried_names(instruments: Iterable[Instrument]) -> set[str]:
    """Every name that a PromQL expression may use."""
    return {name for one in instruments for name in sample_names(family_name(one), one.kind)} | {"target_info"}


def _section(probe: str, instruments: Sequence[DocumentedInstrument]) -> str:
    title = probe if " " in probe else f"Probe `{probe}`" if probe else "The agent itself"
    rows = "".join(_row(one) for one in instruments)
    return (
        f"\n## {title}\n\n| OpenTelemetry | Prometheus | kind | unit | attributes | meaning |\n|---|---|---|---|---|---|\n{rows}"
    )


def _row(one: DocumentedInstrument) -> str:
    instrument = one.instrument
    family = family_name(instrument)
    name = family if instrument.kind is InstrumentKind.HISTOGRAM else sample_names(family, instrument.kind)[0]
    words = {"local": "*workload*", "peer": "*peer*"}
    attributes = ", ".join([*(words[side] for side in one.identity), *(f"`{attribute}`" for attribute in one.attributes)])
    cells = [f"`{instrument.name}`", f"`{name}`", instrument.kind.value, f"`{instrument.unit}`", attributes, instrument.help]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
