"""The prepared statements and portals of one PostgreSQL connection, with what their texts say and no text."""

from __future__ import annotations

from collector.decode.protocols.postgresql_messages import BIND, CLOSE, EXECUTE, HEAD_BYTES, PARSE, WANTED, read_name
from collector.decode.protocols.sql import STATEMENT_BYTES, Statement, StatementReader

PREPARED_MAX = 512  # of each kind on one connection; 0.2 MB
UNKNOWN = Statement()
LONGEST = HEAD_BYTES + WANTED[PARSE]  # what is read of one message


class PreparedStatements:
    """Forgets the oldest when there are too many; an unknown or forgotten one is a statement without operation."""

    def __init__(self, reader: StatementReader) -> None:
        self._reader = reader
        self._statements: dict[bytes, Statement] = {}
        self._portals: dict[bytes, Statement] = {}

    def read_query(self, data: bytes, start: int, size: int) -> Statement:
        """What a Query asks for."""
        return self._read(data, start + HEAD_BYTES, start, size)

    def parse(self, data: bytes, start: int, size: int) -> Statement:
        """What a Parse prepares."""
        name, text_start = read_name(data, start + HEAD_BYTES, start + min(size, LONGEST))
        statement = self._read(data, text_start, start, size) if text_start else UNKNOWN
        _remember(self._statements, name, statement)
        return statement

    def bind(self, data: bytes, start: int, size: int) -> Statement:
        """What the portal of a Bind will execute."""
        last = start + min(size, HEAD_BYTES + WANTED[BIND])
        portal, name_start = read_name(data, start + HEAD_BYTES, last)
        name, end = read_name(data, name_start, last)
        statement = self._statements.get(name, UNKNOWN) if name_start and end else UNKNOWN
        _remember(self._portals, portal, statement)
        return statement

    def execute(self, data: bytes, start: int, size: int) -> Statement:
        """What an Execute executes."""
        portal, _ = read_name(data, start + HEAD_BYTES, start + min(size, HEAD_BYTES + WANTED[EXECUTE]))
        return self._portals.get(portal, UNKNOWN)

    def close(self, data: bytes, start: int, size: int) -> None:
        """Forget what a Close names."""
        name, _ = read_name(data, start + HEAD_BYTES + 1, start + min(size, HEAD_BYTES + WANTED[CLOSE]))
        which = self._statements if data[start + HEAD_BYTES : start + HEAD_BYTES + 1] == b"S" else self._portals
        which.pop(name, None)

    def _read(self, data: bytes, text_start: int, start: int, size: int) -> Statement:
        """The statement in the zero-ended text at `text_start` of the message at `start`."""
        last = min(start + min(size, LONGEST), text_start + STATEMENT_BYTES)
        end = data.find(b"\0", text_start, last)
        return self._reader.read(data[text_start : end if end >= 0 else last], truncated=end < 0)


def _remember(statements: dict[bytes, Statement], name: bytes, statement: Statement) -> None:
    statements.pop(name, None)
    if len(statements) >= PREPARED_MAX:
        del statements[next(iter(statements))]
    statements[name] = statement
