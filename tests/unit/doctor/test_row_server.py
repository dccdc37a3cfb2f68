"""What the doctor says of the server that rows go to. A double answers; refusals are as real servers write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_double import ClickHouseDouble, clickhouse_double

from collector.doctor.finding import Finding, Verdict
from collector.doctor.row_server import inspect_row_server
from collector.settings import Settings


@pytest.fixture
def double() -> Iterator[ClickHouseDouble]:
    with clickhouse_double() as one:
        yield one


def inspect(double: ClickHouseDouble, **more: Any) -> list[Finding]:
    return list(inspect_row_server(Settings(clickhouse_url=double.url, clickhouse_password="correct-horse-battery", **more)))


def test_without_an_address_nobody_is_asked() -> None:
    assert [one.verdict for one in inspect_row_server(Settings())] == [Verdict.NOTE]


def test_all_is_well_and_nothing_was_changed(double: ClickHouseDouble) -> None:
    found = inspect(double)
    assert [one.verdict for one in found] == [Verdict.YES] * 4
    assert "version 25.3" in found[0].detail
    assert not [statement for statement in double.statements if not statement.startswith(("SELECT", "DESCRIBE"))]


def test_a_table_that_is_missing_is_the_agents_or_somebody_elses_to_make(double: ClickHouseDouble) -> None:
    double.tables = {"flows", "lookups"}
    assert inspect(double)[2].verdict is Verdict.YES
    told = inspect(double, clickhouse_create_tables=False)[2]
    assert told.verdict is Verdict.NO
    assert "clickhouse-schema" in told.remedy


def test_an_older_table_is_told_with_the_statement_that_mends_it(double: ClickHouseDouble) -> None:
    double.columns_missing = {"peer_kind", "answers"}
    flows, _, lookups = inspect(double)[1:]
    assert flows.remedy == "ALTER TABLE `default`.`honeyguide_flows` ADD COLUMN `peer_kind` LowCardinality(String)"
    assert "ADD COLUMN `answers` Array(IPv6)" in lookups.remedy


def test_a_wrong_password_is_told_and_not_shown(double: ClickHouseDouble) -> None:
    double.behave = lambda handler: handler.refuse(403, 516, f"agent: wrong password {handler.headers['X-ClickHouse-Key']}")
    (told,) = inspect(double)
    assert told.verdict is Verdict.NO
    assert "correct-horse-battery" not in repr(told)
    assert "clickhouse_password_file" in told.remedy


def test_where_nobody_listens_the_cause_is_told() -> None:
    (told,) = inspect_row_server(Settings(clickhouse_url="http://127.0.0.1:1/"))
    assert (told.cause, told.remedy) == ("Connection refused.", "See clickhouse_url.")
