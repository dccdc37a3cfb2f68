"""Blocks read back by a reader written from the format's documentation; real servers read them in end_to_end."""

from __future__ import annotations

import numpy as np
import pytest
from clickhouse_rows import NAMES, ORIGIN, START, WORDS, ended_flows, requests
from hypothesis import given
from hypothesis import strategies as st
from native_reader import NativeReader

from collector.api.flow_records import FlowRecord
from collector.api.lookup_records import LookupRecord
from collector.api.record_columns import WORKLOAD_FIELDS
from collector.api.request_records import RequestRecord
from collector.export.clickhouse_columns import encode_rows
from collector.export.clickhouse_native import NativeColumn, encode_block, encode_lists, encode_texts, encode_words
from collector.export.clickhouse_tables import FLOWS, LOOKUPS, MODERN, PLAIN, REQUESTS, TABLES, create_statement
from collector.store.lookups import LOOKUP
from collector.stored_rows import StoredRows


def test_a_flow_is_a_row_with_the_names_of_its_workloads() -> None:
    values, types = NativeReader(encode_rows(FLOWS, StoredRows(ended_flows(3), NAMES), ORIGIN, 99, MODERN)).blocks()
    row = {name: column[1] for name, column in values.items()}
    assert (row["local_workload"], row["local_namespace"]) == ("cart", "shop")
    assert (row["local_pod"], row["local_pod_uid"], row["local_container"]) == ("cart-7d9f", "uid-of-cart", "")
    assert (row["peer_workload"], row["peer_kind"], row["peer_container_id"]) == ("Käse.example.org", "name", "")
    assert (row["protocol"], row["state"], row["outcome"], row["role"]) == ("tcp", "closed", "closed", "client")
    assert (str(row["local_address"].ipv4_mapped), str(row["peer_address"])) == ("10.0.0.1", "fd00::7")
    assert (row["process"], row["pid"], row["local_port"], row["peer_port"]) == ("curl", 4242, 30000, 443)
    assert (row["bytes_sent"], row["duration_seconds"], row["rtt_seconds"]) == (2, 0.25, 0.0015)
    assert row["time"] == row["started_at"] + 250_000_000 == START + 252_000_000
    assert (row["node"], row["batch"], row["flow"]) == ("node-1", 99, 0xABCD << 32 | 2)
    assert types == {column.name: MODERN[column.kind] for column in FLOWS.columns}


def test_of_requests_only_paths_of_http_leave() -> None:
    values, _ = NativeReader(encode_rows(REQUESTS, StoredRows(requests(4), WORDS), ORIGIN, 1, MODERN)).blocks()
    assert values["path"] == ["/users/17", "", "/users/17", ""]
    assert values["protocol"] == ["http", "redis", "http", "redis"]
    assert (values["request_body_bytes"], values["sampled"]) == ([-1] * 4, [1] * 4)
    assert values["duration_seconds"] == [0.002] * 4


def test_lookups_carry_their_answers() -> None:
    rows = np.zeros(2, LOOKUP)
    rows["question"] = ["a.example.", "b.example."]
    rows["answers"][0], rows["answers"][1] = ((bytes(15) + b"\x01", 60), (bytes(15) + b"\x02", 30)), ()
    names = dict.fromkeys(("role", "transport", "response_code", "question_type"), ("", "known"))
    values, _ = NativeReader(encode_rows(LOOKUPS, StoredRows(rows, names), ORIGIN, 1, PLAIN)).blocks()
    assert [list(map(str, one)) for one in values["answers"]] == [["::1", "::2"], []]
    assert values["question"] == ["a.example.", "b.example."]


def test_columns_are_called_as_in_the_api() -> None:
    """Who knows one knows the other; what the tables have beside it is said here."""
    records = {"flows": FlowRecord, "requests": RequestRecord, "lookups": LookupRecord}
    for name, table in TABLES.items():
        known = {*records[name].model_fields, *FlowRecord.model_fields}
        assert {column.name for column in table.columns} - known <= {"time", "node", "batch"}, name
        ends = {f"{side}_{field}" for side in ("local", "peer") for field in WORKLOAD_FIELDS}
        assert ends <= {column.name for column in table.columns}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_statements_name_every_column_and_its_type(table) -> None:
    modern = create_statement(table, "`d`.`t`", (25, 3), 7)
    assert all(f"`{column.name}` {MODERN[column.kind]} COMMENT" in modern for column in table.columns)
    assert "INTERVAL 7 DAY" in modern
    assert "non_replicated_deduplication_window" in modern
    assert "deduplication" not in create_statement(table, "`d`.`t`", (25, 3), 7, "ReplicatedMergeTree")
    plain = create_statement(table, "`d`.`t`", (18, 16), 7)
    assert not {"DateTime64", "IPv6", "TTL", "COMMENT"} & set(plain.replace("(", " ").split())


@given(st.lists(st.text(max_size=300), min_size=1, max_size=600), st.randoms(use_true_random=False))
def test_words_and_texts_of_any_kind_come_back(texts: list[str], random) -> None:
    which = np.array([random.randrange(len(texts)) for _ in range(50)])
    columns = [
        NativeColumn("word", "LowCardinality(String)", encode_words(which, texts)),
        NativeColumn("text", "String", encode_texts(which, texts)),
        NativeColumn("list", "Array(IPv6)", encode_lists([[bytes(16)] * (index % 3) for index in range(50)])),
    ]
    values, _ = NativeReader(encode_block(columns, 50) + encode_block(columns, 50)).blocks()
    wanted = [texts[index].encode("utf-8", "replace").decode() for index in which]
    assert values["word"] == values["text"] == wanted * 2
    assert [len(one) for one in values["list"]] == [index % 3 for index in range(50)] * 2
