"""What a MySQL connection has agreed on and prepared. Texts, names of users and passwords are passed over or read at once."""

from __future__ import annotations

from collector.decode.protocols import mysql_commands as commands
from collector.decode.protocols.mysql_handshake import (
    COMPRESS,
    DEPRECATE_EOF,
    ZSTD,
    read_changed_database,
    read_greeting,
    read_response,
)
from collector.decode.protocols.mysql_packets import FULL, HEAD_BYTES, NO_BACKSLASH_ESCAPES, read_name
from collector.decode.protocols.sql import STATEMENT_BYTES, Dialect, Statement, find_reader
from collector.instruments import AttributeValue

PREPARED_MAX = 512  # statements of one connection that are remembered
UNKNOWN = Statement()
PREPARING = Statement("PREPARE")


class Session:
    """attributes: of every request. old_end: whether results end in EOF packets, None not known. opaque: why nothing is read."""

    def __init__(self, *, keep_text: bool) -> None:
        self.attributes: dict[str, AttributeValue] = {"db.system.name": "mysql"}
        self.old_end: bool | None = None
        self.opaque = ""
        self._keep_text = keep_text
        self._statements = find_reader(Dialect.MYSQL, keep_text=keep_text)
        self._prepared: dict[int, Statement] = {}
        self._last_prepared = UNKNOWN
        self._server_can = 0
        self._agreed = 0

    def greet(self, payload: bytes) -> bool:
        """The server's first packet; False when it is no greeting."""
        greeting = read_greeting(payload)
        if greeting:
            self.attributes = {"db.system.name": greeting.system}
            self._server_can = greeting.capabilities
        return greeting is not None

    def respond(self, payload: bytes) -> None:
        """The client's answer to the greeting, or another packet of the login, which is passed over."""
        response = read_response(payload)
        if response is None or self._agreed:
            return
        self._agreed = response.capabilities & (self._server_can or response.capabilities)
        self.old_end = not self._agreed & DEPRECATE_EOF
        self.opaque = "tls" if response.encrypted else ""
        self.select(response.database)

    def log_in(self) -> None:
        """The server let the client in; compression begins now when it was agreed on."""
        if self._agreed & (COMPRESS | ZSTD):
            self.opaque = "compressed"

    def select(self, database: str) -> None:
        self.attributes = {"db.system.name": self.attributes["db.system.name"]}
        if database:
            self.attributes["db.namespace"] = database

    def note_status(self, status: int) -> None:
        """The server tells with every answer whether backslashes escape."""
        dialect = Dialect.MYSQL_UNESCAPED if status & NO_BACKSLASH_ESCAPES else Dialect.MYSQL
        self._statements = find_reader(dialect, keep_text=self._keep_text)

    def read_query(self, data: bytes, start: int, size: int) -> Statement:
        """The statement of a COM_QUERY or COM_STMT_PREPARE."""
        payload, end = start + HEAD_BYTES, start + size
        trace_parent = ""
        text = payload + 1
        if data[payload] == commands.QUERY:
            text, trace_parent = commands.find_query(data, payload, min(end, start + HEAD_BYTES + STATEMENT_BYTES))
        if text < 0:
            return UNKNOWN
        last = min(end, payload + STATEMENT_BYTES)
        statement = self._statements.read(data[text:last], truncated=len(data) < end or last < end or size == FULL + HEAD_BYTES)
        return statement.traced(trace_parent) if trace_parent else statement

    def prepare(self, statement: Statement) -> None:
        self._last_prepared = statement

    def find_prepared(self, data: bytes, start: int) -> Statement:
        """The statement that a COM_STMT_EXECUTE or COM_STMT_BULK_EXECUTE executes."""
        number = _read_id(data, start)
        return self._last_prepared if number == commands.LAST_PREPARED else self._prepared.get(number, UNKNOWN)

    def remember(self, number: int, statement: Statement) -> None:
        """The server has given a prepared statement its number."""
        if len(self._prepared) >= PREPARED_MAX:
            del self._prepared[next(iter(self._prepared))]
        self._prepared[number] = statement

    def forget(self, data: bytes, start: int) -> None:
        """A COM_STMT_CLOSE."""
        self._prepared.pop(_read_id(data, start), None)

    def forget_all(self) -> None:
        self._prepared.clear()
        self._last_prepared = UNKNOWN

    @staticmethod
    def read_database(data: bytes, start: int, size: int) -> str:
        """The database that a COM_INIT_DB or COM_CHANGE_USER selects."""
        payload = data[start + HEAD_BYTES : start + min(size, 1024)]
        return read_name(payload[1:]) if payload[0] == commands.INIT_DB else read_changed_database(payload)


def _read_id(data: bytes, start: int) -> int:
    return int.from_bytes(data[start + HEAD_BYTES + 1 : start + HEAD_BYTES + 5], "little")
