"""The project's own files, as the house rules see them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLLECTOR = ROOT / "collector"


@cache
def list_files() -> tuple[Path, ...]:
    """Every file that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return tuple(path for path in (ROOT / name for name in names if name) if path.is_file())


def list_python(folder: Path = ROOT) -> list[Path]:
    return [path for path in list_files() if path.suffix == ".py" and path.is_relative_to(folder)]


def list_kernel_code() -> list[Path]:
    return [path for path in list_files() if path.suffix in {".c", ".h"}]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """Relative to the project, for test ids and messages."""
    return str(path.relative_to(ROOT))


def imported_modules(path: Path) -> Iterator[str]:
    """Modules of ours that the file imports, wherever in the file."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "collector":
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "collector")
