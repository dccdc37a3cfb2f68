"""What became of one request to an OTLP endpoint, in a word for the books and a sentence for people. Pure."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST_TEXT = 200

# No other request will fare better before the next interval.
HOPELESS = frozenset(
    {"closing", "connection", "refused", "server_error", "throttled", "timeout", "tls", "unauthorized", "unresolved"}
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """reason: '' when delivered, else one word. rejected: points or spans that a delivered request lost. retry_after: seconds."""

    reason: str = ""
    text: str = ""
    rejected: int = 0
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        return not self.reason


def outcome_of_status(status: int, phrase: str, retry_after: float | None = None) -> Outcome:
    """OTLP/HTTP response (OTLP specification, "OTLP/HTTP Response")."""
    if 200 <= status < 300:
        return Outcome()
    words = {401: "unauthorized", 403: "unauthorized", 429: "throttled", 503: "throttled", 408: "timeout"}
    reason = words.get(status, "server_error" if status >= 500 else "rejected")
    return Outcome(reason, f"HTTP {status} {phrase}".strip(), retry_after=retry_after)


def outcome_of_answer(rejected: int, message: str) -> Outcome:
    """The endpoint took the request, maybe without some of its points or spans (partial_success of its answer)."""
    return Outcome(text=message, rejected=max(rejected, 0))


def outcome_of_error(error: BaseException) -> Outcome:
    """What an exception comes from. Its own text is not used: it quotes addresses, which may carry secrets."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return Outcome("tls", f"TLS: {getattr(cause, 'reason', None) or type(cause).__name__}")
        if isinstance(cause, socket.gaierror):
            return Outcome("unresolved", f"name not resolved: {cause.strerror}")
        if isinstance(cause, TimeoutError):
            return Outcome("timeout", "no answer in time")
        if isinstance(cause, OSError) and cause.errno:
            reason = "refused" if cause.errno == errno.ECONNREFUSED else "connection"
            return Outcome(reason, cause.strerror or errno.errorcode.get(cause.errno, "connection failed"))
    names = {type(cause).__name__ for cause in causes}
    if any("Timeout" in name for name in names):
        return Outcome("timeout", "no answer in time")
    if names & {"ConnectionError", "ProtocolError", "RemoteDisconnected", "IncompleteRead", "ChunkedEncodingError"}:
        return Outcome("connection", "closed before it answered")
    return Outcome("failed", type(error).__name__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Itself and what is behind it, the innermost first: libraries put it in __cause__, __context__, args or `reason`."""
    seen: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        linked = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [link for link in linked if isinstance(link, BaseException)]
    yield from reversed(seen.values())


def presentable(text: str, secrets: Iterable[str]) -> str:
    """One short printable line without the secrets: part of it was written by the other side."""
    for secret in secrets:
        text = text.replace(secret, "…") if secret else text
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 1]}…"
