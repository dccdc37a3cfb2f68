"""One process as it is known so far."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

ProcessKey = tuple[int, int]  # number, start in boot_ns
COMMAND_LENGTH = 15  # the kernel keeps that many bytes of a command
INTERPRETER = re.compile(r"(?:python|perl|ruby|node|nodejs|php|lua|java|bash|dash|sh|zsh|busybox|env)[0-9.\-]*")

EMPTY_COMMANDS = ("MainThread",)  # what Node.js calls itself since version 20


class Attachment(NamedTuple):
    """In which cgroup of a v1 hierarchy the process is. cgroup: its id there, 0 when read from /proc. since: boot_ns."""

    hierarchy: int
    cgroup: int
    path: str
    since: int


@dataclass(slots=True)
class Process:
    """number: process id in the root pid namespace. started_at, named_at, cgroup_since, ended_at: boot_ns; ended_at 0: it lives.

    executable: path of its file, '' when not known. outcome, signal: as the probe names them, '' while it lives
    or when its end was not seen. asked: somebody was given an answer about it.
    """

    number: int
    started_at: int
    parent: int
    user: int
    netns: int
    command: str
    executable: str
    cgroup: int
    named_at: int
    cgroup_since: int
    attachments: tuple[Attachment, ...] = field(default_factory=tuple)
    ended_at: int = 0
    exit_status: int = 0
    outcome: str = ""
    signal: str = ""
    asked: bool = False

    @property
    def key(self) -> ProcessKey:
        return self.number, self.started_at

    @property
    def program(self) -> str:
        return name_program(self.command, self.executable)

    def attach(self, attachment: Attachment) -> None:
        """Replaces what was known of that hierarchy, unless that is newer."""
        others = []
        for known in self.attachments:
            if known.hierarchy != attachment.hierarchy:
                others.append(known)
            elif known.since > attachment.since:
                return
        self.attachments = (*others, attachment)

    def inherits(self, attachment: Attachment) -> bool:
        """Whether it was born into that cgroup: forked after its creator got there, and not moved itself."""
        own = (known for known in self.attachments if known.hierarchy == attachment.hierarchy)
        return self.started_at >= attachment.since and all(known.since < self.started_at for known in own)

    def end(self, ended_at: int, exit_status: int, outcome: str, signal: str) -> None:
        """Said once; a later, poorer account of the end changes nothing."""
        if not self.ended_at or (outcome and not self.outcome):
            self.ended_at, self.exit_status = ended_at, exit_status
            self.outcome, self.signal = outcome or self.outcome, signal


def name_program(command: str, executable: str) -> str:
    """What a person would call it: the file's name, but the command where the file is only an interpreter.

    A command cut at 15 bytes by the kernel gets its end back from the file's name.
    """
    file = executable.rpartition("/")[2]
    if not file or not command:
        return file or command
    if file.startswith(command) or command in EMPTY_COMMANDS or not INTERPRETER.fullmatch(file):
        return file
    return command
