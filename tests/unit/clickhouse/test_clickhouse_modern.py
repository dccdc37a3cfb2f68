"""Statements and blocks for modern servers, taken by a modern engine: chdb is ClickHouse as a library, without HTTP.

It takes half a gigabyte, so ./test does not install it: .venv/bin/pip install chdb
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clickhouse_rows import NAMES, ORIGIN, WORDS, ended_flows, requests

from collector.export.clickhouse_answer import read_refusal
from collector.export.clickhouse_batches import BatchMaker
from collector.export.clickhouse_delivery import Delivery
from collector.export.clickhouse_settings import ClickHouseSettings
from collector.export.clickhouse_spool import Parcel
from collector.export.clickhouse_tables import TABLES
from collector.export.otlp_outcome import Outcome
from collector.store.lookups import LOOKUP
from collector.stored_rows import StoredRows

chdb_session = pytest.importorskip("chdb.session", reason="chdb is not installed")


class Engine:
    """The server of a Delivery: statements go to the library as they are, bodies by way of a file."""

    def __init__(self, folder: Path) -> None:
        self._session, self._folder = chdb_session.Session(), folder

    def ask(self, statement: str) -> Outcome:
        try:
            return Outcome(text=self._session.query(statement, "TSV").bytes().decode().strip())
        except RuntimeError as error:
            return read_refusal(Outcome("server_error"), str(error).encode())

    def insert(self, statement: str, body: bytes, token: str) -> Outcome:
        assert token
        file = self._folder / "batch.native.gz"
        file.write_bytes(body)
        settings = f"SETTINGS insert_deduplication_token = '{token}'"
        return self.ask(f"{statement.removesuffix('FORMAT Native')} SELECT * FROM file('{file}', 'Native') {settings}")

    def abort(self) -> None:
        return

    def close(self) -> None:
        self._session.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    one = Engine(tmp_path_factory.mktemp("chdb"))
    yield one
    one.close()


def lookups(count: int) -> StoredRows:
    rows = np.zeros(count, LOOKUP)
    rows["question"], rows["time"] = ["a.example."] * count, ended_flows(count)["time"]
    for index in range(count):
        rows["answers"][index] = ((bytes(15) + b"\x01", 60),) * (index % 3)
    return StoredRows(rows, dict.fromkeys(("role", "transport", "response_code", "question_type"), ("", "known")))


MADE = {"flows": StoredRows(ended_flows(500), NAMES), "requests": StoredRows(requests(500), WORDS), "lookups": lookups(500)}


def parcel_of(name: str) -> Parcel:
    maker = BatchMaker(ORIGIN, 1, 1.0)
    maker.add({name: MADE[name]}, 0.0)
    (parcel,) = maker.batches(0.0, "modern")
    return parcel


def delivery(engine: Engine, **settings: Any) -> Delivery:
    return Delivery(ClickHouseSettings("http://unused/", keep_days=3650, **settings), engine)


@pytest.mark.parametrize("name", TABLES)
def test_a_batch_creates_its_table_is_taken_whole_and_once(engine: Engine, name: str) -> None:
    """By the token, and, for one that may have arrived, by looking for it."""
    one, parcel = delivery(engine), parcel_of(name)
    assert [one.deliver(parcel) for _ in range(3)] == [Outcome()] * 3
    assert engine.ask(f"SELECT count(), uniqExact(batch) FROM honeyguide_{name}").text == "500\t1"
    parcel.doubtful = True
    assert (one.deliver(parcel), one.found) == (Outcome(text="500"), 1)
    lost = parcel_of(name)
    lost.doubtful = True
    assert (one.deliver(lost), one.found) == (Outcome(), 1)
    assert engine.ask(f"SELECT count(), uniqExact(batch) FROM honeyguide_{name}").text == "1000\t2"


def test_values_are_those_that_were_sent(engine: Engine) -> None:
    assert delivery(engine, prefix="values_").deliver(parcel_of("flows")).delivered
    ask = "SELECT time, local_workload, toString(local_address), toString(peer_address), duration_seconds FROM values_flows"
    answer = engine.ask(f"{ask} WHERE bytes_sent = 2").text
    assert answer.split("\t") == ["2026-09-21 14:13:20.252000000", "cart", "::ffff:10.0.0.1", "fd00::7", "0.25"]


def test_refusals_of_a_modern_engine_are_understood(engine: Engine) -> None:
    missing = delivery(engine, prefix="missing_", create_tables=False).deliver(parcel_of("flows"))
    assert (missing.reason, "missing_flows" in missing.text) == ("no_table", True)
    assert delivery(engine, database="nowhere").deliver(parcel_of("flows")).reason == "no_database"
    engine.ask("CREATE TABLE older_flows (time DateTime64(9, 'UTC'), node String) ENGINE = MergeTree ORDER BY time")
    older = delivery(engine, prefix="older_").deliver(parcel_of("flows"))
    assert (older.reason, older.text[:21]) == ("rejected", "ClickHouse error 16: ")
