"""What commands have made of a Redis connection: its database, and which of the server's values are answers."""

from __future__ import annotations

from dataclasses import dataclass

from collector.decode.protocols.draft import RequestDraft
from collector.decode.protocols.redis_commands import COMMANDS
from collector.decode.protocols.resp import ARRAY, ERROR, PUSH, SIMPLE, read_words
from collector.instruments import AttributeValue

SYSTEM: dict[str, AttributeValue] = {"db.system.name": "redis"}
SUBSCRIBING = frozenset(("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"))
REPLICATING = frozenset(("SYNC", "PSYNC"))
# Commands whose answer changes how the connection is read.
SPECIALS = SUBSCRIBING | REPLICATING | {"SELECT", "MONITOR", "RESET"}
# The rest, as its first string is on the wire up to the last line feed.
PLAIN = {b"$%d\r\n%b\r" % (len(word), word.encode()): name for name in COMMANDS - SPECIALS for word in (name, name.lower())}
CONFIRMATIONS = frozenset(name.lower().encode() for name in SUBSCRIBING)
MESSAGES = frozenset((b"message", b"pmessage", b"smessage"))
DATABASE_DIGITS = 5


@dataclass(slots=True)
class Special:
    """A command whose answer has an effect. argument: its first; answers: how many are still to come."""

    draft: RequestDraft
    argument: bytes
    answers: int


class Mode:
    """attributes: of every request from now on. silent: the server may answer nothing (CLIENT REPLY OFF or SKIP).

    attentive: a value of the server may be something else than an answer.
    """

    def __init__(self) -> None:
        self.attributes = SYSTEM
        self.silent = self._off = self._skip_next = False
        self.attentive = self._monitoring = self._subscribed = False

    def expect_answer(self, operation: str, words: list[bytes]) -> bool:
        """Whether the server answers this command; to be asked in order, for each one while `silent` and for CLIENT REPLY."""
        skipped, self._skip_next = self._skip_next, False
        if operation == "CLIENT REPLY":
            choice = words[2].upper() if len(words) > 2 else b""
            self._off = choice == b"OFF" or (self._off and choice != b"ON")
            self._skip_next = choice == b"SKIP" and not self._off
        self.silent = self._off or self._skip_next
        return not (skipped or self.silent)

    def is_push(self, head: bytes, *, confirming: bool) -> bool:
        """Whether the server's value is no answer. confirming: a (un)subscription is the first that waits for its answer."""
        kind = head[0]
        if kind == SIMPLE and self._monitoring:
            return head[1:2].isdigit()
        if kind != PUSH and not (kind == ARRAY and self._subscribed):
            return False
        words = read_words(head, 1)
        if words and words[0] in CONFIRMATIONS:
            return not confirming
        return kind == PUSH or (bool(words) and words[0] in MESSAGES)

    def take_effect(self, asked: Special, head: bytes) -> bool:
        """An answer to `asked` came. False: more are to come."""
        operation = asked.draft.operation
        if head[0] == ERROR:
            return True
        if operation in SUBSCRIBING:
            self._subscribed = head[0] == ARRAY and not head.endswith(b"\r\n:0\r\n")
            asked.answers -= 1
        elif operation == "SELECT":
            self._select(asked.argument if head == b"+OK\r\n" else b"")
        elif operation == "MONITOR":
            self._monitoring = True
        elif operation == "RESET":
            self._monitoring = self._subscribed = False
            self._select(b"0")
        self.attentive = self._monitoring or self._subscribed
        return operation not in SUBSCRIBING or asked.answers <= 0

    def _select(self, database: bytes) -> None:
        self.attributes = SYSTEM
        if database.isdigit() and len(database) <= DATABASE_DIGITS:
            self.attributes = {**SYSTEM, "db.namespace": str(int(database))}
