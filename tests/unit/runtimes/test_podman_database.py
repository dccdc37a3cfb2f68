"""What podman keeps in its database alone: labels and pods; bolt up to podman 4.7, SQLite later."""

from __future__ import annotations

import gzip
import json
import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.runtimes.bolt import BoltFile
from collector.runtimes.description import Description
from collector.runtimes.host_files import HostFiles
from collector.runtimes.lookup import LABELS
from collector.runtimes.question import ask
from collector.runtimes.runtime_table import describe
from runtimes.host_tree import RECORDED, place, write

GRAPH = "var/lib/containers/storage"
BOLT, SQLITE = f"{GRAPH}/libpod/bolt_state.db", f"{GRAPH}/db.sql"
SCHEMA = "podman_schema.sql"
RECORDED_BOLT = gzip.decompress((RECORDED / "podman_bolt_state.db.gz").read_bytes())
OF_COMPOSE = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "PODMAN_SYSTEMD_UNIT": "shop.service"}
OF_POD = {"app.kubernetes.io/name": "cart", "io.podman.pod.name": "cart"}
CONTAINERS = json.loads((RECORDED / "podman_containers.json").read_text())
WEB, CART = (next(one["id"] for one in CONTAINERS if one["names"] == [name]) for name in ("shop-web-1", "cart-app"))


def described(root: Path, identifier: str) -> tuple[Description | None, dict[str, int]]:
    files = HostFiles(root)
    question = ask(identifier, f"/machine.slice/libpod-{identifier}.scope", files, LABELS)
    return describe(question, files), dict(files.refused)


def labels(root: Path, identifier: str) -> dict[str, str]:
    found, refused = described(root, identifier)
    assert found is not None
    assert refused == {}
    return dict(found.labels)


def recorded_configurations() -> dict[str, list[tuple[str, ...]]]:
    """Of both tables of db.sql, with what the recorded bolt database says."""
    database, found = BoltFile(RECORDED_BOLT), {}
    for bucket, table in ((b"ctr", "ContainerConfig"), (b"pod", "PodConfig")):
        identifiers = [one["id"] for one in CONTAINERS] if bucket == b"ctr" else [pod_of(database, CART)]
        texts = [(one, (database.get((bucket, one.encode()), b"config") or b"").decode()) for one in identifiers]
        found[table] = [(one, json.loads(text)["name"], text) for one, text in texts]
    return found


def pod_of(database: BoltFile, identifier: str) -> str:
    pod: str = json.loads(database.get((b"ctr", identifier.encode()), b"config") or b"{}")["pod"]
    return pod


@pytest.fixture
def sqlite_database() -> bytes:
    """The tables are those that podman 5.8 made, the rows what podman 4.3 wrote as bolt."""
    database = sqlite3.connect(":memory:")
    database.executescript((RECORDED / SCHEMA).read_text())
    for table, rows in recorded_configurations().items():
        database.executemany(f"INSERT INTO {table} (ID, Name, JSON) VALUES (?, ?, ?)", rows)
    database.commit()
    content = bytes(database.serialize())
    database.close()
    return content


@pytest.fixture
def host(tmp_path: Path) -> Path:
    place(tmp_path, f"{GRAPH}/overlay-containers/containers.json", "podman_containers.json")
    return tmp_path


def test_labels_and_the_pods_name_are_read_from_bolt(host: Path) -> None:
    write(host, BOLT, RECORDED_BOLT)
    assert labels(host, WEB) == OF_COMPOSE
    assert labels(host, CART) == OF_POD


def test_labels_and_the_pods_name_are_read_from_sqlite(host: Path, sqlite_database: bytes) -> None:
    write(host, SQLITE, sqlite_database)
    assert labels(host, WEB) == OF_COMPOSE
    assert labels(host, CART) == OF_POD


def test_a_container_of_which_nothing_shall_stay_is_listed_elsewhere_than_its_database(tmp_path: Path) -> None:
    place(tmp_path, "run/containers/storage/overlay-containers/volatile-containers.json", "podman_containers.json")
    write(tmp_path, BOLT, RECORDED_BOLT)
    assert labels(tmp_path, WEB) == OF_COMPOSE


def test_without_a_database_the_name_is_known_all_the_same(host: Path) -> None:
    found, refused = described(host, WEB)
    assert found is not None
    assert (found.name, found.labels, refused) == ("shop-web-1", {}, {})


@pytest.mark.parametrize("path", [BOLT, SQLITE])
@pytest.mark.parametrize("content", [b"\0" * 20000, b"SQLite format 3\0" + b"\xff" * 5000, b"x"], ids=["zeros", "wild", "short"])
def test_a_damaged_database_is_counted_and_the_name_stays(host: Path, path: str, content: bytes) -> None:
    write(host, path, content)
    found, refused = described(host, WEB)
    assert found is not None
    assert (found.name, found.labels) == ("shop-web-1", {})
    assert refused == {"malformed": 1}


def test_a_view_that_never_ends_is_left(host: Path) -> None:
    database = sqlite3.connect(":memory:")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT CAST(i AS TEXT) AS ID, '{}' AS JSON FROM n"
    database.execute(f"CREATE VIEW ContainerConfig AS {endless}")
    write(host, SQLITE, bytes(database.serialize()))
    database.close()
    found, refused = described(host, WEB)
    assert found is not None
    assert refused == {"malformed": 1}


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_no_damage_to_bolt_does_anything_but_raise_value_errors(seed: int) -> None:
    chance, content = random.Random(seed), bytearray(RECORDED_BOLT)
    for _ in range(chance.randrange(1, 40)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    damaged = bytes(content[: chance.randrange(len(content))] if chance.random() < 0.3 else content)
    try:
        BoltFile(damaged).get((b"ctr", WEB.encode()), b"config")
    except ValueError:
        return


def test_every_container_is_found_where_a_bucket_has_many_pages() -> None:
    database = BoltFile(RECORDED_BOLT)
    for one in CONTAINERS:
        found = json.loads(database.get((b"ctr", one["id"].encode()), b"config") or b"{}")
        assert (found["id"], [found["name"]]) == (one["id"], one["names"])
    assert database.get((b"ctr", b"missing"), b"config") is None
    assert database.get((b"ctr",), WEB.encode()) is None, "a bucket is no value"
