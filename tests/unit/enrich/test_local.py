"""The column `local`: who owns each row."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.batch import Batch
from collector.enrich.identity import Identities, build_identities
from collector.enrich.local import LocalEnricher
from collector.row_hash import hash_rows, words_of
from collector.workload import UNKNOWN
from enrich.batches import (
    LOOKUP_SCHEMA,
    OTHER_POD_PATH,
    OTHER_UID,
    POD_PATH,
    UID,
    UNIT_PATH,
    attached,
    batch_of,
    cgroups,
    event,
    processes,
    schema_of,
    tcp,
)


def identities_with(*paths: tuple[int, str]) -> Identities:
    identities = build_identities()
    identities.observe(cgroups(*({"event": "created", "cgroup": cgroup, "path": path} for cgroup, path in paths)))
    return identities


def names(identities: Identities, batch: Batch) -> list[str]:
    return [identities.workload(number).name for number in batch["local"].tolist()]


def test_each_row_gets_the_workload_of_its_cgroup() -> None:
    identities = identities_with((50, POD_PATH), (51, OTHER_POD_PATH), (52, UNIT_PATH))
    batch = tcp(*({"cgroup": cgroup} for cgroup in (50, 51, 52, 50, 51)))
    LocalEnricher(identities).enrich(batch)
    assert names(identities, batch) == [UID, OTHER_UID, "nginx.service", UID, OTHER_UID]
    assert batch["local"].dtype == np.int32


def test_rows_that_share_a_process_number_are_told_apart_by_its_start() -> None:
    identities = build_identities()
    identities.observe(
        processes(event("executed", 7, 10, executable="/bin/old"), event("executed", 7, 99, executable="/bin/new"))
    )
    batch = tcp(*({"cgroup": 1, "process": 7, "process_started_at": start} for start in (10, 99)))
    LocalEnricher(identities).enrich(batch)
    assert names(identities, batch) == ["old", "new"]


def test_event_of_a_process_belongs_to_where_the_process_was_then() -> None:
    """It may have moved before the batch is looked at; its sockets follow it, its execution does not."""
    identities = identities_with((52, UNIT_PATH))
    execution = processes(event("executed", 7, 10, executable="/usr/bin/spawner", cgroup=1))
    identities.observe(execution)
    moved = attached(7, 20, UNIT_PATH, hierarchy=0, cgroup=52, process_started_at=10)
    identities.observe(cgroups(moved))
    socket = tcp({"cgroup": 1, "process": 7, "process_started_at": 10})
    for batch in (execution, socket):
        LocalEnricher(identities).enrich(batch)
    assert names(identities, execution) == ["spawner"]
    assert names(identities, socket) == ["nginx.service"]


def test_execution_is_counted_for_the_program_that_was_executed() -> None:
    identities = build_identities()
    rows = [
        event("started", 7, 10, command="bash"),
        event("executed", 7, 20, process_started_at=10, command="env", executable="/usr/bin/env"),
        event("executed", 7, 30, process_started_at=10, command="app", executable="/usr/bin/app"),
    ]
    batch = processes(*rows)
    identities.observe(batch)
    LocalEnricher(identities).enrich(batch)
    assert names(identities, batch) == ["bash", "env", "app"]


def test_record_with_a_process_but_no_cgroup_has_an_owner() -> None:
    identities = identities_with((50, UNIT_PATH))
    identities.observe(processes(event("existing", 7, 10, cgroup=50)))
    batch = batch_of(LOOKUP_SCHEMA, {"process": 7})
    LocalEnricher(identities).enrich(batch)
    assert names(identities, batch) == ["nginx.service"]


def test_record_without_cgroup_and_process_is_left_alone() -> None:
    batch = batch_of(schema_of("plain", [("count", "<u8", "")]), {"count": 1})
    LocalEnricher(build_identities()).enrich(batch)
    assert batch.columns == {}


def test_executable_that_is_no_text_is_not_read_as_a_path() -> None:
    batch = batch_of(schema_of("own_probe", [("executable", "<u4", ""), ("process", "<u4", "process_id")]), {"executable": 9})
    LocalEnricher(build_identities()).enrich(batch)
    assert batch["local"].tolist() == [UNKNOWN]


def test_empty_batch_has_an_empty_column() -> None:
    batch = tcp()
    LocalEnricher(build_identities()).enrich(batch)
    assert batch["local"].shape == (0,)


def test_row_of_nobody_is_unknown_and_counted() -> None:
    identities = build_identities()
    batch = tcp({"cgroup": 0}, {"cgroup": 0})
    LocalEnricher(identities).enrich(batch)
    assert batch["local"].tolist() == [UNKNOWN, UNKNOWN]
    assert identities.counters()["rows_without_owner"] == 2


def test_later_knowledge_reaches_later_rows() -> None:
    identities = build_identities()
    enricher = LocalEnricher(identities)
    first, second = tcp({"cgroup": 1, "process": 7}), tcp({"cgroup": 1, "process": 7})
    enricher.enrich(first)
    identities.observe(cgroups({"event": "attached", "process": 7, "path": POD_PATH, "hierarchy": 4, "observed_at": 20}))
    identities.observe(processes(event("existing", 7, 10)))
    enricher.enrich(second)
    assert first["local"].tolist() == [UNKNOWN]
    assert names(identities, second) == [UID]


def test_text_that_is_no_utf8_raises_nothing() -> None:
    identities = build_identities()
    batch = tcp({"cgroup": 1})
    batch.rows["command"] = b"\xff\xfe"
    LocalEnricher(identities).enrich(batch)
    assert batch["local"].tolist() != [UNKNOWN]


OWNERS = st.fixed_dictionaries(
    {
        "cgroup": st.sampled_from([0, 1, 50, 51, 99]),
        "process": st.integers(0, 3),
        "process_started_at": st.sampled_from([0, 10, 11]),
        "command": st.sampled_from(["", "a", "b"]),
    }
)


@given(st.lists(OWNERS, max_size=30))
def test_whole_batch_is_answered_like_each_row_alone(rows: list[dict[str, Any]]) -> None:
    identities = identities_with((50, POD_PATH), (51, UNIT_PATH))
    identities.observe(processes(event("existing", 1, 10, command="one"), event("existing", 2, 11, command="two", cgroup=51)))
    batch = tcp(*rows)
    LocalEnricher(identities).enrich(batch)
    alone = [identities.resolve(row["cgroup"], row["process"], row["process_started_at"], row["command"]) for row in rows]
    assert batch["local"].tolist() == alone


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=3)), max_size=30))
def test_hashes_are_equal_just_where_rows_are(rows: list[tuple[int, bytes]]) -> None:
    columns = [np.array([number for number, _ in rows], np.uint32), np.array([text for _, text in rows], "S3")]
    hashes = hash_rows(columns).tolist()
    same = {(number, text.rstrip(b"\0")): value for (number, text), value in zip(rows, hashes, strict=True)}
    assert len(set(hashes)) == len(same)
    assert hash_rows(columns, seed=1).tolist() != hashes or not rows


def test_bytes_are_cut_into_words_and_filled_up() -> None:
    words = words_of(np.array([b"12345678ab"], "S10"))
    assert [word.tolist() for word in words] == [[int.from_bytes(b"12345678", "little")], [int.from_bytes(b"ab", "little")]]
