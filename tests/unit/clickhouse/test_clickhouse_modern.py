"""Statements and blocks for modern servers, taken by a modern engine: chdb is ClickHouse as a library, without HTTP.

It takes half a gigabyte, so ./test does not install it: .venv/bin/pip install chdb
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clickhouse_rows import NAMES, ORIGIN, WORDS, ended_flows, requests

from collector.export.clickhouse_columns import encode_rows
from collector.export.clickhouse_tables import MODERN, TABLES, create_statement, insert_statement
from collector.store.lookups import LOOKUP
from collector.stored_rows import StoredRows

session = pytest.importorskip("chdb.session", reason="chdb is not installed")
VERSION = (26, 9)


@pytest.fixture(scope="module")
def engine() -> Any:
    one = session.Session()
    for table in TABLES.values():
        one.query(create_statement(table, f"`default`.`honeyguide_{table.name}`", VERSION, 3650))
    yield one
    one.close()


def lookups(count: int) -> StoredRows:
    rows = np.zeros(count, LOOKUP)
    rows["question"], rows["time"] = ["a.example."] * count, ended_flows(count)["time"]
    for index in range(count):
        rows["answers"][index] = ((bytes(15) + b"\x01", 60),) * (index % 3)
    return StoredRows(rows, dict.fromkeys(("role", "transport", "response_code", "question_type"), ("", "known")))


MADE = {"flows": StoredRows(ended_flows(500), NAMES), "requests": StoredRows(requests(500), WORDS), "lookups": lookups(500)}


@pytest.mark.parametrize("name", TABLES)
def test_a_batch_is_taken_whole_and_once(engine: Any, name: str, tmp_path: Path) -> None:
    table, file = TABLES[name], tmp_path / "batch.native.gz"
    file.write_bytes(gzip.compress(encode_rows(table, MADE[name], ORIGIN, 77, MODERN), 1))
    insert = insert_statement(table, f"`default`.`honeyguide_{name}`").removesuffix("FORMAT Native")
    for _ in range(3):
        engine.query(f"{insert} SELECT * FROM file('{file}', 'Native') SETTINGS insert_deduplication_token = 'one'")
    assert engine.query(f"SELECT count(), uniqExact(batch) FROM honeyguide_{name}", "CSV").bytes() == b"500,1\n"


def test_values_are_those_that_were_sent(engine: Any) -> None:
    ask = "SELECT time, local_workload, toString(local_address), toString(peer_address), duration_seconds FROM honeyguide_flows"
    answer = engine.query(f"{ask} WHERE bytes_sent = 2", "TSV").bytes().decode().strip()
    assert answer.split("\t") == ["2026-09-21 14:13:20.252000000", "cart", "::ffff:10.0.0.1", "fd00::7", "0.25"]
