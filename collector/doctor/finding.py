"""One thing the doctor looked at, and what came of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    YES = "yes"
    NO = "no"
    NOTE = "note"  # neither good nor bad, worth knowing


@dataclass(frozen=True, slots=True)
class Finding:
    """detail: what was found. cause and remedy: why not and what to do, '' unless the verdict is NO."""

    subject: str
    verdict: Verdict
    detail: str = ""
    cause: str = ""
    remedy: str = ""


def yes(subject: str, detail: str = "") -> Finding:
    return Finding(subject, Verdict.YES, detail)


def no(subject: str, cause: str, remedy: str) -> Finding:
    return Finding(subject, Verdict.NO, cause=cause, remedy=remedy)


def note(subject: str, detail: str) -> Finding:
    return Finding(subject, Verdict.NOTE, detail)
