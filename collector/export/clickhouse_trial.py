"""Asks a ClickHouse server what an export will need, and changes nothing. For the doctor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collector.export.clickhouse import HINTS, open_server
from collector.export.clickhouse_delivery import Delivery, Server
from collector.export.clickhouse_settings import ClickHouseSettings
from collector.export.clickhouse_tables import TABLES, Table, types_of
from collector.export.otlp_outcome import Outcome, presentable


@dataclass(frozen=True, slots=True)
class Trial:
    """detail: what is there. cause, remedy: '' when all is well."""

    subject: str
    detail: str = ""
    cause: str = ""
    remedy: str = ""


def try_server(settings: ClickHouseSettings, server: Server | None = None) -> list[Trial]:
    """The server, then each table; after a server that does not answer there are no more. server: None: that of settings."""
    asked = open_server(settings) if server is None else server
    try:
        return list(_try_all(settings, asked))
    finally:
        asked.close()


def _try_all(settings: ClickHouseSettings, server: Server) -> Iterator[Trial]:
    delivery = Delivery(settings, server)
    greeting = delivery.greet()
    if not greeting.delivered:
        yield _refused("server", settings, greeting)
        return
    version = ".".join(map(str, delivery.version))
    yield Trial("server", f"{settings.shown_url}, version {version}")
    for table in TABLES.values():
        yield _try_table(table, settings, server, delivery.version)


def _try_table(table: Table, settings: ClickHouseSettings, server: Server, version: tuple[int, ...]) -> Trial:
    subject = f"table {settings.database}.{settings.prefix}{table.name}"
    answer = server.ask(f"DESCRIBE TABLE {settings.full_name(table)} FORMAT TabSeparated")
    if answer.reason == "no_table" and settings.create_tables:
        return Trial(subject, "is not there yet; the agent creates it, if its user may")
    if not answer.delivered:
        return _refused(subject, settings, answer)
    there = {line.split("\t")[0] for line in answer.text.splitlines()}
    missing = [column for column in table.columns if column.name not in there]
    if not missing:
        return Trial(subject, f"{len(table.columns)} columns")
    added = ", ".join(f"ADD COLUMN `{one.name}` {types_of(version)[one.kind]}" for one in missing)
    cause = f"It has no column {', '.join(one.name for one in missing)}: its rows would be discarded."
    return Trial(subject, cause=cause, remedy=f"ALTER TABLE {settings.full_name(table)} {added}")


def _refused(subject: str, settings: ClickHouseSettings, outcome: Outcome) -> Trial:
    cause = presentable(outcome.text or outcome.reason, [settings.password])
    hint = HINTS.get(outcome.reason, "").removeprefix("; ")
    return Trial(subject, cause=f"{cause}.", remedy=f"{hint[:1].upper()}{hint[1:] or 'See clickhouse_url'}.")
