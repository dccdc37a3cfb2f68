"""What a C compiler says, as errors with file and line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MESSAGE = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?:\d+:)? (?P<kind>fatal error|error|warning): (?P<text>.*)$", re.MULTILINE
)
SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class CompilerMessage:
    """file: as short as people know it. severe: nothing was compiled because of it."""

    file: str
    line: int
    text: str
    severe: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def parse_messages(output: str, folder: str) -> list[CompilerMessage]:
    """All errors and warnings in clang's words; files inside `folder` lose that prefix."""
    return list(_messages(output, folder.rstrip("/") + "/"))


def _messages(output: str, prefix: str) -> Iterator[CompilerMessage]:
    for found in MESSAGE.finditer(output):
        text = re.sub(r" \[-W[^\]]*\]$", "", found["text"])
        yield CompilerMessage(found["file"].removeprefix(prefix), int(found["line"]), text, found["kind"] != "warning")


def describe_failure(what: str, messages: list[CompilerMessage], output: str) -> str:
    """One sentence for a person: the first errors with their places, or the compiler's last words."""
    severe = [str(message) for message in messages if message.severe]
    if not severe:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        return f"{what} cannot be compiled: {lines[-1] if lines else 'the compiler said nothing'}"
    more = f" (and {len(severe) - SHOWN_MAX} more)" if len(severe) > SHOWN_MAX else ""
    return f"{what} cannot be compiled: {'; '.join(severe[:SHOWN_MAX])}{more}"
