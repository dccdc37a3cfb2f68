"""runc and crun themselves: where a container's bundle lies, whoever asked for it and wherever that one keeps its state.

The last resort: a storage of podman's or CRI-O's that lies elsewhere (--root), bundles of tools that nobody here knows.
"""

from __future__ import annotations

from collector.runtimes import storage
from collector.runtimes.annotations import describe_annotations
from collector.runtimes.description import Description, member, texts_of
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import Question

STATES = ("run/runc", "run/crun")
STATES_OF_USER = ("run/user/{user}/runc", "run/user/{user}/crun")
RUNC_BUNDLE = "bundle="  # among config.labels of libcontainer's state.json


def describe(question: Question, files: HostFiles) -> Description | None:
    for state, trusted in question.places(STATES, STATES_OF_USER):
        bundle = find_bundle(f"{state}/{question.identifier}", files)
        found = describe_bundle(bundle, question, files, trusted=trusted) if bundle else None
        if found is not None:
            return found
    return None


def find_bundle(folder: str, files: HostFiles) -> str:
    """The bundle's path; ''. crun writes it as a member of its status file."""
    labels = member(files.read_json(f"{folder}/state.json"), "config", "labels")
    for label in labels if isinstance(labels, list) else []:
        if isinstance(label, str) and label.startswith(RUNC_BUNDLE):
            return label.removeprefix(RUNC_BUNDLE)
    bundle = member(files.read_json(f"{folder}/status"), "bundle")
    return bundle if isinstance(bundle, str) else ""


def describe_bundle(bundle: str, question: Question, files: HostFiles, *, trusted: bool) -> Description | None:
    """By the bundle's annotations, else by the storage it lies in: .../overlay-containers/ID/userdata."""
    folder, _, rest = bundle.partition(f"/{question.identifier}/userdata")
    if folder != bundle and not rest.strip("/"):
        return storage.describe_in(folder, question, files, trusted=trusted)
    annotations = texts_of(member(files.read_json(f"{bundle}/config.json"), "annotations"))
    return describe_annotations(annotations, question.labels, trusted=trusted)
