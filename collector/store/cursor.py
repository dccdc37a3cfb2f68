"""Where a page ended. Opaque to clients; good for the same question to the same store."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import astuple, dataclass
from typing import Any

from collector.store.parameter_error import ParameterError

LARGEST = 2**63 - 1
WHAT_TO_GIVE = "the next_cursor of an earlier answer to the same question"


@dataclass(frozen=True, slots=True)
class Cursor:
    """key, sequence: of the last row given. next_sequence: of the store when the first page was made: later rows are left out.

    since_ns, until_ns: what "the last five minutes" meant on the first page.
    """

    key: int
    sequence: int
    next_sequence: int
    since_ns: int | None
    until_ns: int | None

    def encode(self, epoch: int, question: str) -> str:
        """Text for a URL that only `decode_cursor` with the same epoch and question takes back."""
        content = [_checksum(question), epoch, *astuple(self)]
        return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: str, epoch: int, question: str) -> Cursor:
    """ParameterError when `text` is no cursor, or one of another question or of an agent that has been started anew since."""
    content = _content(text)
    if content[0] != _checksum(question):
        raise ParameterError("cursor", "This cursor belongs to another question.", WHAT_TO_GIVE)
    if content[1] != epoch:
        raise ParameterError("cursor", "The agent was started anew since this cursor was made.", "no cursor: begin again")
    return Cursor(*content[2:])


def _checksum(question: str) -> int:
    return zlib.crc32(question.encode("utf-8", "surrogatepass"))


def _content(text: str) -> list[Any]:
    try:
        content = json.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as error:
        raise ParameterError("cursor", "This is not a cursor.", WHAT_TO_GIVE) from error
    if not _well_formed(content):
        raise ParameterError("cursor", "This is not a cursor.", WHAT_TO_GIVE)
    return list(content)


def _well_formed(content: object) -> bool:
    if not isinstance(content, list) or len(content) != 7:
        return False
    numbers = content[:5] + [value for value in content[5:] if value is not None]
    return all(type(number) is int and abs(number) <= LARGEST for number in numbers)
