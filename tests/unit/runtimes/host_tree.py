"""A host's root made of recorded files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from collector.cluster_facts import FactChange
from collector.runtimes.description import Description
from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import ask
from collector.runtimes.runtime_table import describe

RECORDED = Path(__file__).parents[2] / "data/runtimes"
IDENTIFIER, SANDBOX = "ab" * 32, "5a" * 32
POD_UID = "1b2c3d4e-0000-4111-8222-333344445555"
POD_PATH = f"/kubepods.slice/kubepods-pod{POD_UID.replace('-', '_')}.slice/cri-containerd-{IDENTIFIER}.scope"
DOCKER = f"var/lib/docker/containers/{IDENTIFIER}/config.v2.json"
TASKS = "run/containerd/io.containerd.runtime.v2.task"
STORAGE = "var/lib/containers/storage/overlay-containers"


def place(root: Path, path: str, recorded: str) -> Path:
    """Puts a recorded file where the runtime would have written it."""
    return write(root, path, (RECORDED / recorded).read_bytes())


def write(root: Path, path: str, content: bytes) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def describe_here(root: Path, path: str = f"/docker/{IDENTIFIER}", labels: tuple[str, ...] = ()) -> Description | None:
    files = HostFiles(root)
    return describe(ask(IDENTIFIER, path, files, labels), files)


@dataclass
class Listener:
    """A FactSink that remembers."""

    changes: list[FactChange] = field(default_factory=list)

    def learn(self, changes: list[FactChange]) -> None:
        self.changes += changes
