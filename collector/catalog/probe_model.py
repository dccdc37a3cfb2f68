"""What the rooms above the kernel know of a probe; the same from a folder and from a recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from collector.batch import Schema
from collector.catalog.manifest import Manifest


@dataclass(frozen=True, slots=True)
class ProbeModel:
    """schemas: by record (derived records have none). map_keys: for records read from a map, the fields of its key.

    code: the folder's probe.py, or None.
    """

    name: str
    manifest: Manifest
    schemas: dict[str, Schema]
    map_keys: dict[str, tuple[str, ...]]
    code: Path | None = None
