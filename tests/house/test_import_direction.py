"""kernel -> source -> decode -> enrich -> aggregate -> store, export, api: imports never point back."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from source_files import COLLECTOR, imported_modules, list_python, name_of, parse

# What a room may import besides itself and the contracts (files directly in collector/ that know no room).
ROOMS: Mapping[str, set[str]] = {
    "catalog": set(),
    "source": {"catalog"},
    "decode": {"catalog"},
    "enrich": {"catalog"},
    "aggregate": {"catalog"},
    "store": {"catalog"},
    "export": set(),
    "runtimes": set(),
    "api": {"store"},
    "kubernetes": set(),
    "terminal": set(),
    "doctor": {"source", "catalog", "runtimes", "kubernetes", "export"},
    "workshop": {"source", "catalog", "decode", "aggregate", "terminal"},
    "commands": set(),
}
# Commands start the agent, so these may import what wires the rooms together.
ABOVE_THE_ROOMS = {"doctor", "workshop", "commands"}


def room_of(module: str) -> str:
    """'source' for collector.source.kernel_source, '' for a file directly in collector/."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (COLLECTOR / parts[1]).is_dir() else ""


@cache
def wiring() -> set[str]:
    """Files directly in collector/ that import a room, or import one that does."""
    imports = {f"collector.{path.stem}": set(imported_modules(path)) for path in COLLECTOR.glob("*.py")}
    found = {name for name, targets in imports.items() if any(map(room_of, targets))}
    while more := {name for name, targets in imports.items() if targets & found} - found:
        found |= more
    return found


def test_every_folder_is_a_known_room() -> None:
    folders = {path.name for path in COLLECTOR.iterdir() if (path / "__init__.py").is_file()}
    assert folders == ROOMS.keys()


def test_rooms_import_only_what_they_may() -> None:
    wrong = []
    for path in list_python(COLLECTOR):
        room = path.relative_to(COLLECTOR).parts[0]
        if room not in ROOMS:
            continue
        forbidden = set() if room in ABOVE_THE_ROOMS else wiring()
        for module in imported_modules(path):
            if room_of(module) not in {"", room} | ROOMS[room] or module in forbidden:
                wrong.append(f"{name_of(path)} imports {module}")
    assert wrong == []


def test_there_is_no_import_cycle() -> None:
    graph = {module_of(path): set(imports_at_start(path)) for path in list_python(COLLECTOR)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' -> '.join(error.args[1])}")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(COLLECTOR.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_at_start(path: Path) -> list[str]:
    """Those that run when the file is imported."""
    nodes = [node for node in parse(path).body if isinstance(node, ast.ImportFrom)]
    return [node.module for node in nodes if node.module and node.module.startswith("collector.")]
