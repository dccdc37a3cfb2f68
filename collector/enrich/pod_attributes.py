"""The OpenTelemetry attributes of a container of a pod, and of a container without one. Pure.

Names: the semantic conventions' k8s, container and service attributes. Which value a service attribute takes: their page
"Specify resource attributes using Kubernetes annotations" (non-normative/k8s-attributes).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from collector.cluster_facts import ContainerFact
from collector.enrich.cluster_objects import SERVICE, KnownPod, Pairs
from collector.enrich.workload_table import Naming

RESOURCE_ANNOTATION = "resource.opentelemetry.io/"
WELL_KNOWN_LABELS = {
    "service.name": ("app.kubernetes.io/instance", "app.kubernetes.io/name"),
    "service.version": ("app.kubernetes.io/version",),
}
# From the ancestor to the descendant, as the page orders them.
OWNER_ATTRIBUTES = {
    "Deployment": "k8s.deployment.name",
    "ReplicaSet": "k8s.replicaset.name",
    "StatefulSet": "k8s.statefulset.name",
    "DaemonSet": "k8s.daemonset.name",
    "CronJob": "k8s.cronjob.name",
    "Job": "k8s.job.name",
}
OF_CONTAINER = ("k8s.container.name", "container.image.name", "container.image.tags", "service.version", "service.instance.id")


@dataclass(frozen=True, slots=True)
class NamingChoice:
    """well_known_labels: app.kubernetes.io/ labels name services too (the conventions want that chosen, not assumed).

    labels, annotations: patterns of those that become attributes of their own.
    """

    well_known_labels: bool = False
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()


def name_pod(pod: KnownPod, container_id: str, choice: NamingChoice) -> Naming:
    """What a container of the pod is called; container_id: '' for the pod as a whole."""
    image, facts = "", plain_attributes(pod)
    for (name, one, _), identifier in zip(pod.template.containers, pod.identifiers, strict=True):
        if container_id and identifier == container_id:
            image = one
            facts["k8s.container.name"] = name
            facts.update(image_attributes(image))
    facts.update(selected("k8s.pod.label.", pod.template.labels, choice.labels))
    facts.update(selected("k8s.pod.annotation.", pod.template.annotations, choice.annotations))
    facts.update(service_attributes(pod, facts, image, choice))
    facts = {key: value for key, value in facts.items() if value}
    return Naming(facts.get("service.name", pod.uid), pod.namespace, facts)


def keep_container(now: Naming, before: Mapping[str, str]) -> Naming:
    """A container that started again is told under its new id only; the one before it is still called what it was."""
    if "k8s.container.name" in now.facts or "k8s.container.name" not in before:
        return now
    return now._replace(facts={**{name: before[name] for name in OF_CONTAINER if name in before}, **now.facts})


def plain_attributes(pod: KnownPod) -> dict[str, str]:
    """Those that say nothing but what the pod is, and who made it."""
    return {
        "k8s.namespace.name": pod.namespace,
        "k8s.pod.name": pod.name,
        "k8s.pod.uid": pod.uid,
        "k8s.node.name": pod.node,
        **{OWNER_ATTRIBUTES[kind]: name for kind, name in pod.template.owners if kind in OWNER_ATTRIBUTES},
    }


def service_attributes(pod: KnownPod, facts: Mapping[str, str], image: str, choice: NamingChoice) -> dict[str, str]:
    """service.*, and whatever else annotations with the prefix say: the first value found counts."""
    labels = dict(pod.template.labels) if choice.well_known_labels else {}
    found = {"service.namespace": pod.namespace, "service.version": image_version(image)}
    found["service.name"] = next((name for name in candidates(pod, facts) if name), "")
    if facts.get("k8s.container.name"):
        found["service.instance.id"] = f"{pod.namespace}.{pod.name}.{facts['k8s.container.name']}"
    for attribute, names in WELL_KNOWN_LABELS.items():
        found[attribute] = next((labels[name] for name in names if labels.get(name)), found[attribute])
    for name, value in pod.template.annotations:
        if name.startswith(RESOURCE_ANNOTATION) and value:
            found[name.removeprefix(RESOURCE_ANNOTATION)] = value
    return found


def candidates(pod: KnownPod, facts: Mapping[str, str]) -> Iterator[str]:
    """Names of its service, the best first. Of a pod known by endpoint slices only, the service it stands behind is all there
    is to say for whom it works; its own name would be another one for each pod."""
    for attribute in OWNER_ATTRIBUTES.values():
        yield facts.get(attribute, "")
    yield from sorted(name for kind, name in pod.template.owners if kind == SERVICE)
    yield facts.get("k8s.pod.name", "")
    yield facts.get("k8s.container.name", "")


def name_container(fact: ContainerFact, choice: NamingChoice) -> Naming:
    """What a container without a pod is called."""
    labels = selected("container.label.", tuple(fact.labels.items()), choice.labels)
    facts = {
        "container.name": fact.name,
        "container.runtime": fact.runtime,
        **image_attributes(fact.image),
        "service.version": image_version(fact.image),
        **dict(labels),
    }
    return Naming(fact.name or fact.identifier[:12], "", {key: value for key, value in facts.items() if value})


def selected(prefix: str, pairs: Pairs, patterns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Those on the allow-list, as attributes."""
    for name, value in pairs:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            yield prefix + name, value


def image_attributes(image: str) -> dict[str, str]:
    """container.image.tags is a list in the conventions; the one tag stands for it until it is encoded."""
    name, tag, _ = split_image(image)
    return {"container.image.name": name, "container.image.tags": tag}


def image_version(image: str) -> str:
    """tag@digest, the digest, or the tag."""
    _, tag, digest = split_image(image)
    return f"{tag}@{digest}" if tag and digest else digest or tag


def split_image(image: str) -> tuple[str, str, str]:
    """(name, tag, digest) of a reference: a colon before the last slash is that of a registry's port."""
    name, _, digest = image.partition("@")
    path, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{path}{slash}{last}", tag, digest
