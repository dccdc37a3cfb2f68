"""What a runtime's files say about one container, and how texts from such files are made safe."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

LONGEST_TEXT = 253  # a DNS name, which all names of Kubernetes are
LONGEST_LABEL = 1024
MOST_LABELS = 32


@dataclass(frozen=True, slots=True)
class Description:
    """name: what its user calls the container. pod_name, pod_namespace, pod_uid: '' outside Kubernetes (pod_uid also where an
    old runtime does not write it). sandbox: it only holds a pod's namespaces (pause). trusted: only root can have written it.
    """

    name: str
    runtime: str
    image: str = ""
    pod_name: str = ""
    pod_namespace: str = ""
    pod_uid: str = ""
    sandbox: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[bytes, ...] = ()
    started_at: int = 0
    trusted: bool = True


def clean_text(value: object, longest: int = LONGEST_TEXT) -> str:
    """A text without control characters and lone surrogates (JSON can write both), cut at `longest`; '' for no text."""
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in value[:longest])


def member(document: object, *path: str) -> Any:
    """What stands at that path of objects; None when anything on the way is missing or no object."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def texts_of(document: object) -> dict[str, str]:
    """The members of an object that are texts."""
    return {key: value for key, value in document.items() if isinstance(value, str)} if isinstance(document, dict) else {}


def embedded(text: str) -> dict[str, str]:
    """The texts of an object that is written as JSON inside a text, as CRI-O writes labels."""
    try:
        return texts_of(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def choose_labels(labels: Mapping[str, str], wanted: Sequence[str]) -> dict[str, str]:
    """Those of the allow-list (patterns with * and ?), made safe; at most MOST_LABELS."""
    chosen = [name for name in labels if any(fnmatchcase(name, pattern) for pattern in wanted)]
    return {clean_text(name): clean_text(labels[name], LONGEST_LABEL) for name in chosen[:MOST_LABELS]}


def read_time(value: object) -> int:
    """Unix ns of an RFC 3339 time with any number of digits; 0 for anything else."""
    if not isinstance(value, str) or len(value) > 64:
        return 0
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
        return max(int(moment.timestamp() * 1_000_000) * 1000, 0)
    except (ValueError, OverflowError):
        return 0


def read_address(value: object) -> bytes:
    """16 bytes, IPv4 as ::ffff:a.b.c.d; b'' for no address."""
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return b""
    if address is None:
        return b""
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
