"""CRI-O and podman: both keep their containers in containers/storage, so both are asked in one place.

CRI-O annotates its bundles. podman does not; its names stand in the storage's list of containers (metadata written by
libpod), and its pods and labels in its database (podman.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from collector.runtimes import podman
from collector.runtimes.annotations import CRIO, describe_annotations
from collector.runtimes.description import Description, clean_text, member, read_time, texts_of
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import IDENTIFIER, Question

STORAGES = ("run/containers/storage", "var/lib/containers/storage")
STORAGES_OF_USER = ("run/user/{user}/containers", "{home}/.local/share/containers/storage")
DRIVERS = ("overlay-containers", "vfs-containers")
LISTS = ("containers.json", "volatile-containers.json")  # the second one since containers/storage 1.42


def describe(question: Question, files: HostFiles) -> Description | None:
    for storage, trusted in question.places(STORAGES, STORAGES_OF_USER):
        for driver in DRIVERS:
            found = describe_in(f"{storage}/{driver}", question, files, trusted=trusted)
            if found is not None:
                return found
    return None


def describe_in(folder: str, question: Question, files: HostFiles, *, trusted: bool) -> Description | None:
    """folder: where each container has a folder, and lists of all lie beside them."""
    bundle = files.read_json(f"{folder}/{question.identifier}/userdata/config.json")
    annotations = texts_of(member(bundle, "annotations"))
    found = describe_annotations(annotations, question.labels, trusted=trusted)
    if found is not None:
        return with_pod_labels(found, folder, annotations.get(f"{CRIO}SandboxID", ""), question, files)
    listed = (find_listed(files.read_json(f"{folder}/{name}"), question.identifier) for name in LISTS)
    entry = next(filter(None, listed), None)
    found = None if entry is None else describe_listed(entry, trusted=trusted)
    return None if found is None else podman.add_labels(found, places_of_database(folder, question), question, files)


def places_of_database(folder: str, question: Question) -> list[str]:
    """Beside the list, or, when that one lies below /run because nothing of the container shall stay, in the usual storage."""
    usual = [place for place, _ in question.places(STORAGES[1:], STORAGES_OF_USER[1:])]
    return list(dict.fromkeys([folder.rpartition("/")[0].lstrip("/"), *usual]))


def with_pod_labels(found: Description, folder: str, sandbox: str, question: Question, files: HostFiles) -> Description:
    """The pod's labels stand in the bundle of its sandbox."""
    if found.sandbox or not question.labels or not IDENTIFIER.fullmatch(sandbox):
        return found
    bundle = files.read_json(f"{folder}/{sandbox}/userdata/config.json")
    of_pod = describe_annotations(texts_of(member(bundle, "annotations")), question.labels, trusted=found.trusted)
    return found if of_pod is None else replace(found, labels=of_pod.labels)


def find_listed(entries: object, identifier: str) -> dict[str, Any] | None:
    if not isinstance(entries, list):
        return None
    return next((entry for entry in entries if isinstance(entry, dict) and entry.get("id") == identifier), None)


def describe_listed(entry: dict[str, Any], *, trusted: bool) -> Description | None:
    """metadata: JSON in a text. CRI-O's own entries have a pod's name there; its bundles say more, so it is not read here."""
    try:
        metadata = json.loads(entry.get("metadata", ""))
    except (ValueError, RecursionError, TypeError):
        return None
    name = clean_text(member(metadata, "name"))
    if not name or member(metadata, "pod-name"):
        return None
    return Description(
        name, "podman", clean_text(member(metadata, "image-name")), started_at=read_time(entry.get("created")), trusted=trusted
    )
