"""One batch to the server, whatever it takes: its version, its tables, and the question whether the batch is there already."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from collector.export.clickhouse_answer import read_version
from collector.export.clickhouse_settings import ClickHouseSettings
from collector.export.clickhouse_spool import Parcel
from collector.export.clickhouse_tables import (
    DEDUPLICATION_SINCE,
    MODERN_SINCE,
    TABLES,
    Table,
    create_statement,
    insert_statement,
)
from collector.export.otlp_outcome import Outcome


class Server(Protocol):
    """See ClickHouseHttp."""

    def ask(self, statement: str) -> Outcome: ...

    def insert(self, statement: str, body: bytes, token: str) -> Outcome: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class Delivery:
    """For one thread. types: what batches are to be written for, as far as it is known."""

    def __init__(self, settings: ClickHouseSettings, server: Server) -> None:
        self._settings, self._server = settings, server
        self._version: tuple[int, ...] = ()
        self._sure = False
        self.found = 0  # batches that had arrived although nobody said so

    @property
    def types(self) -> str:
        """Before the server has said its version it is taken for a modern one."""
        return "plain" if self._version and self._version < MODERN_SINCE else "modern"

    @property
    def version(self) -> tuple[int, ...]:
        """What the server said last; () as long as it said nothing."""
        return self._version

    def greet(self) -> Outcome:
        """Learns the server's version, when it is not sure of it."""
        if self._sure:
            return Outcome()
        answer = self._server.ask("SELECT version()")
        if answer.delivered:
            self._version, self._sure = read_version(answer.text) or self._version, bool(read_version(answer.text))
        if answer.delivered and not self._sure:
            return Outcome("misunderstood", "what answers there is no ClickHouse server")
        return answer

    def deliver(self, parcel: Parcel) -> Outcome:
        """Delivered when the server has it, be it from an earlier try."""
        greeting = self.greet()
        if not greeting.delivered:
            return greeting
        if parcel.types != self.types:
            return Outcome("types", "the server is older than the batch was written for")
        if parcel.doubtful:
            there = self._is_there(parcel)
            if not there.delivered or int(there.text or 0):
                self.found += there.delivered
                return there
        return self._insert(parcel)

    def doubt_version(self) -> None:
        """The server may come back as another; until it says so, it is taken for the same."""
        self._sure = False

    def _insert(self, parcel: Parcel) -> Outcome:
        table, token = TABLES[parcel.table], parcel.token if self._version >= DEDUPLICATION_SINCE else ""
        assert parcel.body is not None
        statement = insert_statement(table, self._settings.full_name(table))
        outcome = self._server.insert(statement, parcel.body, token)
        if outcome.reason != "no_table" or not self._settings.create_tables:
            return outcome
        created = self._create(table)
        return self._server.insert(statement, parcel.body, token) if created.delivered else created

    def _create(self, table: Table) -> Outcome:
        name = self._settings.full_name(table)
        outcome = self._server.ask(create_statement(table, name, self._version, self._settings.keep_days))
        return outcome if outcome.delivered else replace(outcome, text=f"creating the table {table.name}: {outcome.text}")

    def _is_there(self, parcel: Parcel) -> Outcome:
        """`text` is a number of rows. The rows' times keep it to one partition."""
        name = self._settings.full_name(TABLES[parcel.table])
        first, last = (self._moment(time) for time in (parcel.first_time, parcel.last_time))
        outcome = self._server.ask(
            f"SELECT count() FROM {name} WHERE time BETWEEN {first} AND {last} AND batch = {parcel.number}"
        )
        if outcome.reason == "no_table":
            return Outcome(text="0")
        if outcome.delivered and not outcome.text.isdecimal():
            return Outcome("misunderstood", "no number of rows was answered")
        return outcome

    def _moment(self, time: int) -> str:
        return f"fromUnixTimestamp64Nano({time})" if self.types == "modern" else str(time)
