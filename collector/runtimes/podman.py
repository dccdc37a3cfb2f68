"""podman's labels and pods, which stand in its database alone: db.sql (SQLite, from podman 5 or 4.8) or bolt_state.db before.

The file is read as a whole into memory, never opened as a database in its place: nothing is locked or written there. What its
containers are told (environment, command) stands in the same JSON and is dropped with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import product
from typing import Any

from collector.runtimes.bolt import BoltFile
from collector.runtimes.description import Description, choose_labels, clean_text, member, texts_of
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import Question

POD_LABEL = "io.podman.pod.name"  # ours: podman has no label for it
MOST_STEPS = 100_000  # of SQLite's machine, between two looks at whether it is enough
Table = Mapping[str, Any] | None
Look = Callable[[str, str], Table]  # ("container" or "pod", identifier) -> its configuration
Open = Callable[[bytes], Look]


def add_labels(found: Description, storages: Sequence[str], question: Question, files: HostFiles) -> Description:
    """storages: folders where the database may lie. Without one that can be read the description stays as it is."""
    if not question.labels:
        return found
    for storage, (name, open_database) in product(storages, DATABASES.items()):
        content = files.read(f"{storage}/{name}")
        labels = read_labels(content, open_database, question.identifier, files) if content else None
        if labels is not None:
            return replace(found, labels=choose_labels(labels, question.labels))
    return found


def read_labels(content: bytes, open_database: Open, identifier: str, files: HostFiles) -> dict[str, str] | None:
    """None when that container is not in there. A pod's labels are its containers' too, unless they have their own."""
    try:
        look = open_database(content)
        container = look("container", identifier)
        if container is None:
            return None
        pod = look("pod", clean_text(member(container, "pod"))) or {}
    except (ValueError, RecursionError, sqlite3.Error, MemoryError):
        files.refused["malformed"] += 1
        return None
    name = clean_text(member(pod, "name"))
    return texts_of(member(pod, "labels")) | texts_of(member(container, "labels")) | ({POD_LABEL: name} if name else {})


def look_into_bolt(content: bytes) -> Look:
    database = BoltFile(content)
    buckets = {"container": b"ctr", "pod": b"pod"}

    def look(kind: str, identifier: str) -> Table:
        found = database.get((buckets[kind], identifier.encode()), b"config") if identifier else None
        return as_object(found)

    return look


def look_into_sqlite(content: bytes) -> Look:
    queries = {
        "container": "SELECT JSON FROM ContainerConfig WHERE ID = ? LIMIT 1",
        "pod": "SELECT JSON FROM PodConfig WHERE ID = ? LIMIT 1",
    }

    def look(kind: str, identifier: str) -> Table:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(content)
            database.execute("PRAGMA trusted_schema = OFF")
            database.set_progress_handler(lambda: 1, MOST_STEPS)  # a view or trigger in there cannot run for ever
            row = database.execute(queries[kind], (identifier,)).fetchone() if identifier else None
        return as_object(row[0] if row else None)

    return look


def as_object(text: str | bytes | None) -> Table:
    if text is None:
        return None
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("no object")
    return document


DATABASES: Mapping[str, Open] = {  # below the storage's folder
    "db.sql": look_into_sqlite,
    "libpod/bolt_state.db": look_into_bolt,
}
