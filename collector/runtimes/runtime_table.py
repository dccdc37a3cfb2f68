"""Every runtime that can be asked: one line each. The order is that of asking: Kubernetes' first, the last resort last."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collector.runtimes import containerd, docker, oci, storage
from collector.runtimes.description import Description
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import Question

Describe = Callable[[Question, HostFiles], Description | None]

RUNTIMES: Mapping[str, Describe] = {
    "containerd": containerd.describe,
    "CRI-O, podman": storage.describe,
    "docker": docker.describe,
    "runc, crun": oci.describe,
}


def describe(question: Question, files: HostFiles) -> Description | None:
    """What the first runtime that knows the container says of it. Raises for nothing it finds."""
    return next(filter(None, (ask_runtime(question, files) for ask_runtime in RUNTIMES.values())), None)
