"""Docker Engine: config.v2.json of each container, also of a rootless engine and under a data-root of its own.

cri-dockerd (as dockershim did) marks Kubernetes' containers with labels.
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.runtimes.description import Description, choose_labels, clean_text, member, read_time, texts_of
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import Question

DATA = ("var/lib/docker", "var/snap/docker/common/var-lib-docker")
DATA_OF_USER = ("{home}/.local/share/docker",)
SETTINGS, SETTINGS_OF_USER = ("etc/docker",), ("{home}/.config/docker",)
KUBERNETES = "io.kubernetes."


def describe(question: Question, files: HostFiles) -> Description | None:
    for data, trusted in (*question.places(DATA, DATA_OF_USER), *moved_data(question, files)):
        document = files.read_json(f"{data}/containers/{question.identifier}/config.v2.json")
        found = describe_container(document, question.labels, trusted=trusted)
        if found is not None:
            return found
    return None


def moved_data(question: Question, files: HostFiles) -> list[tuple[str, bool]]:
    """What the engine's settings call data-root (once graph)."""
    found = []
    for settings, trusted in question.places(SETTINGS, SETTINGS_OF_USER):
        document = files.read_json(f"{settings}/daemon.json")
        places = (member(document, "data-root"), member(document, "graph"))
        found += [(place, trusted) for place in places if isinstance(place, str) and place.startswith("/")]
    return found


def describe_container(document: object, wanted: tuple[str, ...], *, trusted: bool) -> Description | None:
    """None when it has no name."""
    name = clean_text(member(document, "Name")).removeprefix("/")
    labels = texts_of(member(document, "Config", "Labels"))
    if not name:
        return None
    return Description(
        name=kubernetes(labels, "container.name") or name,
        runtime="docker",
        image=clean_text(member(document, "Config", "Image")),
        pod_name=kubernetes(labels, "pod.name"),
        pod_namespace=kubernetes(labels, "pod.namespace"),
        pod_uid=kubernetes(labels, "pod.uid"),
        sandbox=kubernetes(labels, "docker.type") == "podsandbox",
        labels=choose_labels(labels, wanted),
        started_at=read_time(member(document, "State", "StartedAt")),
        trusted=trusted,
    )


def kubernetes(labels: Mapping[str, str], name: str) -> str:
    return clean_text(labels.get(KUBERNETES + name))
