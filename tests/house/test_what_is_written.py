"""What the project's files may and must say: no registry, no path of one machine, pinned versions, commands that exist."""

from __future__ import annotations

import argparse
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_files import ROOT, list_files, name_of

from collector.__main__ import COMMANDS, build_command_parser

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted|registry\.npmjs|npmjs\.com|yarnpkg|crates\.io|rubygems|deb\.debian|archive\.ubuntu|proxy\.golang"
    r"|docker\.io|ghcr\.io|quay\.io|gcr\.io|snapshot\.debian"
)
MACHINE = re.compile(r"/root/|/home/\w|/Users/\w|/opt/pypi|/work/(main|shared|\.)|/tmp/v/")
DOCUMENTS = [path for path in list_files() if path.suffix == ".md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_no_registry_and_no_path_of_one_machine_is_named() -> None:
    others = [path for path in list_files() if path != Path(__file__)]
    texts = {name_of(path): path.read_bytes().decode("utf-8", "replace") for path in others}
    assert [(name, found[0]) for name, text in texts.items() if (found := REGISTRIES.search(text))] == []
    assert [(name, found[0]) for name, text in texts.items() if (found := MACHINE.search(text))] == []
    assert [name for name, text in texts.items() if f"{ROOT}/" in text] == []


def requirements() -> list[str]:
    return [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]


def canonical(line: str) -> str:
    return re.sub(r"[-_.]+", "-", line).lower()


def test_every_requirement_is_pinned_and_among_the_constraints() -> None:
    constraints = {canonical(line) for line in (ROOT / "deploy/constraints.txt").read_text().splitlines()}
    assert [one for one in requirements() if "==" not in one] == []
    assert [one for one in requirements() if canonical(one) not in constraints] == []


def commands_in(path: Path) -> Iterator[list[str]]:
    """The lines of shell blocks that call something of ours, as words."""
    for block in re.findall(r"^```(?:sh|bash|console|)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = re.sub(r"\s+#.*|[|&>].*", "", line).removeprefix("$ ").removeprefix("sudo ").split()
            if words and (words[0].startswith("./") or words[0].endswith("honeyguide")):
                yield words


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_in_documents_exist(path: Path) -> None:
    for words in commands_in(path):
        if words[0].startswith("./"):
            assert (ROOT / words[0]).is_file(), f"there is no {words[0]}"
        elif len(words) > 1 and not words[1].startswith("-"):
            assert set(flags_in(words[2:])) <= flags_of(words[1]), f"unknown flag in: {' '.join(words)}"


def flags_in(words: list[str]) -> Iterator[str]:
    return (word.split("=")[0] for word in words if word.startswith("-"))


def flags_of(name: str) -> set[str]:
    command = next((command for command in COMMANDS if command.name == name), None)
    assert command is not None, f"there is no command {name}"
    parser: argparse.ArgumentParser = build_command_parser(command)
    importlib.import_module(command.module).add_arguments(parser)
    inner = [one for action in parser._actions if isinstance(action.choices, dict) for one in action.choices.values()]
    return {flag for one in (parser, *inner) for flag in one._option_string_actions}


def test_readme_has_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "./run" in text
    assert "./test" in text
