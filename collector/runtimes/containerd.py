"""containerd: the bundles of its running tasks, of Kubernetes (CRI), nerdctl and whoever else annotates them."""

from __future__ import annotations

from collector.runtimes.annotations import describe_annotations
from collector.runtimes.description import Description, member, texts_of
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import Question

TASKS = "io.containerd.runtime.v2.task"  # below it namespace/identifier: k8s.io, default, moby, ...
STATES = ("run/containerd", "run/k3s/containerd", "run/k0s/containerd", "var/snap/microk8s/common/run/containerd")
STATES_OF_USER = ("run/user/{user}/containerd", "{home}/.local/share/containerd")


def describe(question: Question, files: HostFiles) -> Description | None:
    for state, trusted in question.places(STATES, STATES_OF_USER):
        for namespace in files.folders(f"{state}/{TASKS}"):
            bundle = files.read_json(f"{state}/{TASKS}/{namespace}/{question.identifier}/config.json")
            found = describe_annotations(texts_of(member(bundle, "annotations")), question.labels, trusted=trusted)
            if found is not None:
                return found
    return None
