"""Where the host's files are, and which runtimes keep state there: for the start and for the doctor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from collector.runtimes import containerd, docker, oci, storage

# The host's own root where the agent lives in a container and may look there; else what is mounted into it.
HOST_ROOTS = (Path("/proc/1/root"), Path("/"))

STATES: Mapping[str, Sequence[str]] = {
    "containerd": [f"{state}/{containerd.TASKS}" for state in containerd.STATES],
    "CRI-O, podman": storage.STORAGES,
    "docker": [f"{data}/containers" for data in docker.DATA],
    "runc, crun": oci.STATES,
}


def find_host_root(roots: Sequence[Path] = HOST_ROOTS) -> Path:
    """The first that may be looked at."""
    return next((root for root in roots if os.access(root, os.R_OK | os.X_OK)), roots[-1])


def find_states(root: Path) -> dict[str, list[tuple[Path, bool]]]:
    """runtime -> the folders of its that are there, and whether each may be read."""
    found = {}
    for runtime, places in STATES.items():
        folders = [root / place for place in places]
        found[runtime] = [(folder, os.access(folder, os.R_OK | os.X_OK)) for folder in folders if exists(folder)]
    return found


def exists(folder: Path) -> bool:
    """Also when it may not be looked into; False when not even that can be told."""
    try:
        return folder.is_dir()
    except OSError:
        return False
