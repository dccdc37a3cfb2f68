"""Small files, small functions, names that are words, and words about what is public."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from source_files import COLLECTOR, ROOT, list_files, list_kernel_code, list_python, name_of, parse

FILE_LINES, FUNCTION_LINES, UNDOCUMENTED_LINES = 400, 40, 15
BANNED = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common|stuff)(_|$)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines_of(function: Function) -> int:
    """Without the docstring."""
    written = ast.get_docstring(function, clean=False)
    return lines_spanned(function) - (written.count("\n") + 1 if written else 0)


def functions_of(path: Path) -> list[Function]:
    return [node for node in ast.walk(parse(path)) if isinstance(node, Function)]


def test_files_are_not_too_long() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in (*list_python(), *list_kernel_code())}
    assert {name: length for name, length in lengths.items() if length > FILE_LINES} == {}


def test_functions_are_not_too_long() -> None:
    lengths = {f"{name_of(path)}:{one.name}": lines_of(one) for path in list_python() for one in functions_of(path)}
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_file_names_are_nouns_that_say_something() -> None:
    assert [name_of(path) for path in list_files() if BANNED.search(path.stem.lower())] == []


def test_no_two_files_of_tests_have_the_same_name() -> None:
    """pytest imports them by their bare names."""
    counts = Counter(path.name for path in list_python(ROOT / "tests") if path.name not in {"__init__.py", "conftest.py"})
    assert [name for name, count in counts.items() if count > 1] == []


def test_nothing_is_imported_from_a_conftest() -> None:
    """Which of the files called so is meant depends on what else runs."""
    importing = re.compile(r"^(?:from|import) conftest\b", re.MULTILINE)
    assert [name_of(path) for path in list_python(ROOT / "tests") if importing.search(path.read_text())] == []


def test_names_of_tests_are_sentences() -> None:
    tests = [
        (path, one.name) for path in list_python(ROOT / "tests") for one in functions_of(path) if one.name.startswith("test_")
    ]
    assert [f"{name_of(path)}:{name}" for path, name in tests if name.count("_") < 2] == []


def test_every_file_says_what_it_is_for() -> None:
    assert [name_of(path) for path in list_python(COLLECTOR) if parse(path).body and not ast.get_docstring(parse(path))] == []


def test_what_is_public_and_not_tiny_has_a_docstring() -> None:
    public = [
        (path, node)
        for path in list_python(COLLECTOR)
        for node in parse(path).body
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_")
    ]
    silent = [(path, node) for path, node in public if not ast.get_docstring(node)]
    assert [f"{name_of(path)}:{node.name}" for path, node in silent if lines_spanned(node) > UNDOCUMENTED_LINES] == []


def lines_spanned(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1
