"""`honeyguide probe check`: everything that can be wrong with a probe's folder, with file and line, and what helps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from collector.agent import shipped_places
from collector.catalog.manifest_place import line_with
from collector.catalog.probe_folder import object_path, read_manifest
from collector.catalog.trust import check_trusted
from collector.decode.probe_code import read_code
from collector.errors import HoneyguideError
from collector.settings import Settings
from collector.source.core_compiler import SOURCE, compile_core
from collector.source.loaded_probe import LoadedProbe
from collector.source.probe_opening import ProbeOpener, make_opener
from collector.source.settings_for_kernel import source_settings
from collector.terminal.table import BAD, GOOD, NOTICE, make_console

PLACED = re.compile(r"^(\S+):(\d+): ")
SOURCES = (SOURCE, "probe.bcc.c", "probe.bpf.o")


@dataclass(frozen=True, slots=True)
class Finding:
    """text: with file and line where there is one. severe: the probe cannot run like this."""

    text: str
    remedy: str = ""
    severe: bool = True
    good: bool = False


def check_folder(folder: Path, settings: Settings) -> list[Finding]:
    """In the order of what has to be mended first; the first severe one ends the check."""
    found: list[Finding] = []
    for finding in find_all(folder, settings):
        found.append(finding)
        if finding.severe:
            break
    return found


def find_all(folder: Path, settings: Settings) -> Iterator[Finding]:
    yield from refused(folder, lambda: read_manifest(folder))
    if not any((folder / name).exists() for name in SOURCES) and not object_path(folder).exists():
        yield Finding(f"{folder}: there is no program.", f"Put one of {', '.join(SOURCES)} beside probe.toml.")
    yield from check_age(folder)
    opener = open_workshop(settings)
    if (folder / SOURCE).exists() and opener.compiler is not None:
        compiler = opener.compiler
        yield from [] if (folder / "probe.bpf.o").exists() else warnings_of(folder, lambda: compile_core(folder, compiler))
    if (folder / "probe.py").exists():
        yield from refused(folder, lambda: read_code(folder.name, folder / "probe.py", settings.probe_python_max))
    yield from warned(lambda: check_trusted(folder))
    yield from check_in_kernel(folder, opener)


def check_in_kernel(folder: Path, opener: ProbeOpener) -> Iterator[Finding]:
    """Loads and attaches it for a moment, where that is allowed."""
    if os.geteuid() != 0:
        yield Finding("It was not tried in the kernel: that needs root.", "sudo honeyguide probe check ...", severe=False)
        return
    opened: list[LoadedProbe] = []
    yield from refused(folder, lambda: opened.append(opener.open(folder)))
    for loaded in opened:
        hooks = ", ".join(f"{hook.purpose} by {hook.section}" for hook in loaded.hooks)
        took = loaded.compile_cost
        loaded.close()
        yield Finding(f"{folder.name} works here: {hooks}.{took}", severe=False, good=True)


def check_age(folder: Path) -> Iterator[Finding]:
    source, ready = folder / SOURCE, folder / "probe.bpf.o"
    if source.exists() and ready.exists() and source.stat().st_mtime > ready.stat().st_mtime:
        text = f"{SOURCE} is newer than probe.bpf.o, and the object is what is loaded."
        yield Finding(text, "Compile it again, or remove probe.bpf.o to have it compiled on the node.", severe=False)


def refused(folder: Path, attempt: Callable[[], object]) -> Iterator[Finding]:
    try:
        attempt()
    except HoneyguideError as error:
        yield Finding(with_place(folder, error.cause), error.remedy)


def warned(attempt: Callable[[], object]) -> Iterator[Finding]:
    try:
        attempt()
    except HoneyguideError as error:
        yield Finding(f"The agent will not load it by request: {error.cause}", error.remedy, severe=False)


def warnings_of(folder: Path, attempt: Callable[[], object]) -> Iterator[Finding]:
    try:
        made = attempt()
    except HoneyguideError as error:
        yield Finding(with_place(folder, error.cause), error.remedy)
        return
    for message in getattr(made, "warnings", ()):
        yield Finding(f"{message.file}:{message.line}: {message.text}", severe=False)


def with_place(folder: Path, cause: str) -> str:
    """The cause, with the manifest's line before it where it speaks of something in the manifest and gives no place yet."""
    cause = cause.replace(f"{folder}/", "")
    if PLACED.match(cause) or re.search(r"\.[ch]:\d+: ", cause):
        return cause
    try:
        text = (folder / "probe.toml").read_text()
    except (OSError, UnicodeDecodeError):
        return cause
    found = re.search(r"(?:metric|record) ([\w.]+)", cause)
    words = [*([found[1]] if found else []), *re.findall(r"'([\w.]+)'", cause)]
    words += re.findall(r"has no (?:program|map|variable|struct) (\w+)", cause)
    line = line_with(text, words) if words else 0
    return f"probe.toml:{line}: {cause}" if line else cause


def open_workshop(settings: Settings) -> ProbeOpener:
    """HoneyguideError when libbpf is missing."""
    return make_opener(source_settings(settings, shipped_places()))


def print_findings(findings: Sequence[Finding]) -> int:
    """1 when one is severe."""
    console = make_console()
    for finding in findings:
        style = BAD if finding.severe else GOOD if finding.good else NOTICE
        console.print(Text(finding.text, style), soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"  -> {finding.remedy}"), soft_wrap=True)
    return int(any(finding.severe for finding in findings))
