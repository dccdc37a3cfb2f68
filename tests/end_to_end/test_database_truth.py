"""PostgreSQL, MariaDB and Redis under their own benchmarks: operations, errors and durations equal the servers' own books."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ports import free_port, wait_for_port
from request_truth import (
    Rows,
    by_connection,
    check_durations,
    check_none_is_shorter,
    check_one_after_another,
    counts_of,
    requests_of,
)
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

POSTGRESQL = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), Path("/nonexistent"))
CLIENTS, TRANSACTIONS = 3, 20
MICROSECOND = 0.000001  # what the servers' logs can tell apart
Timed = list[tuple[str, float]]
RING = ("--ring-bytes", "8MiB")


def needs(*programs: str | Path) -> pytest.MarkDecorator:
    missing = [str(program) for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")


@contextmanager
def running(command: list[Any], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen([str(part) for part in command], stdout=file, stderr=file)
    try:
        wait_for_port(port)
        yield
    finally:
        process.terminate()
        process.wait(30)


class Postgresql:
    """A server of its own that logs every statement with its duration."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "postgresql.log"
        self.environment = {
            **os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "app", "PGDATABASE": "postgres",
            "PGSSLMODE": "disable", "PGGSSENCMODE": "disable",
        }  # fmt: skip

    def run(self, program: str, *options: str, succeeds: bool = True) -> None:
        done = subprocess.run(
            [POSTGRESQL / program, *options], env=self.environment, check=False, capture_output=True, timeout=60
        )
        assert (done.returncode == 0) == succeeds, done.stderr

    def wait_until_ready(self) -> None:
        """It listens before it takes connections."""
        command = [POSTGRESQL / "pg_isready", "-q", "-t", "1"]
        deadline = time.monotonic() + 30
        while subprocess.run(command, env=self.environment, check=False).returncode and time.monotonic() < deadline:
            time.sleep(0.05)

    def executed(self, since: int) -> dict[int, list[tuple[str, str, float]]]:
        """By process: (first word, SQLSTATE, seconds) in order. Bind, and the parse of what has no name, are of the execution."""
        found: dict[int, list[tuple[str, str, float]]] = defaultdict(list)
        before: dict[int, float] = defaultdict(float)
        text = self.log.read_text()[since:]
        for process, state, milliseconds, step, name, words in re.findall(
            r"^@(\d+)\|(\w{5})\|LOG: +duration: ([0-9.]+) ms +(\w+)(?: ([^:]*))?: +(.*)$", text, re.MULTILINE
        ):
            before[int(process)] += float(milliseconds) / 1000
            prepared = step == "parse" and name != "<unnamed>"
            if prepared or step in ("statement", "execute"):
                word = "PREPARE" if prepared else words.split()[0].strip(";").upper()
                found[int(process)].append((word, state, before.pop(int(process))))
        return found


@contextmanager
def folder_of(user: str) -> Iterator[Path]:
    """Where that user may write; pytest's own folders are closed to all but root."""
    with tempfile.TemporaryDirectory(prefix="honeyguide.", dir="/var/tmp") as folder:
        shutil.chown(folder, user)
        yield Path(folder)


@pytest.fixture
def postgresql() -> Iterator[Postgresql]:
    with folder_of("postgres") as folder:
        yield from serve_postgresql(folder)


def serve_postgresql(folder: Path) -> Iterator[Postgresql]:
    server, as_server = Postgresql(folder), ["runuser", "-u", "postgres", "--"]
    subprocess.run(
        [*as_server, POSTGRESQL / "initdb", "-D", folder / "data", "-U", "app", "--auth=trust", "--no-sync"],
        check=True, capture_output=True,
    )  # fmt: skip
    options = {
        "port": server.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
        "log_min_duration_statement": 0, "log_line_prefix": "@%p|%e|", "shared_buffers": "16MB", "autovacuum": "off",
    }  # fmt: skip
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with running([*as_server, POSTGRESQL / "postgres", "-D", folder / "data", *flags], server.port, server.log):
        server.wait_until_ready()
        server.run("pgbench", "-q", "-i", "-s", "1")
        yield server


def by_process(rows: Rows) -> dict[int, Rows]:
    found: dict[int, Rows] = defaultdict(list)
    for row in rows:
        found[row["pid"]].append(row)
    return found


@needs(POSTGRESQL / "pgbench")
@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_postgresql_operations_are_those_of_its_log(
    start_agent: Callable[..., RunningAgent], postgresql: Postgresql, mode: str
) -> None:
    agent = start_agent(*RING)
    since = len(postgresql.log.read_text())
    postgresql.run("pgbench", "-n", "-M", mode, "-c", str(CLIENTS), "-t", str(TRANSACTIONS))
    logged = postgresql.executed(since)
    wanted = Counter(word for statements in logged.values() for word, _, _ in statements)
    assert wanted["UPDATE"] == 3 * CLIENTS * TRANSACTIONS
    rows = requests_of(agent, postgresql.port, "server", wanted.total())
    assert Counter(row["operation"] for row in rows) == wanted
    assert {row["protocol"] for row in rows} == {"postgresql"}
    assert {row["outcome"] for row in rows} == {"ok"}
    pairs = []
    for process, seen in by_process(rows).items():
        assert [row["operation"] for row in seen] == [word for word, _, _ in logged[process]]
        check_one_after_another(seen)
        pairs += [(row["duration_seconds"], one[2]) for row, one in zip(seen, logged[process], strict=True)]
    check_durations(pairs, MICROSECOND)
    check_none_is_shorter(pairs, MICROSECOND)


@needs(POSTGRESQL / "psql")
def test_postgresql_errors_and_tables_are_told(
    start_agent: Callable[..., RunningAgent], postgresql: Postgresql, tmp_path: Path
) -> None:
    agent = start_agent()
    statements = ["SELECT * FROM pgbench_branches", "SELECT * FROM missing", "INSERT INTO pgbench_branches VALUES (1, 0)"]
    (tmp_path / "statements.sql").write_text(";\n".join([*statements, ""]))
    postgresql.run("psql", "-q", "-f", str(tmp_path / "statements.sql"))
    rows = requests_of(agent, postgresql.port, "server", 3)
    assert [(row["operation"], row["route"], row["status"], row["outcome"]) for row in rows] == [
        ("SELECT", "pgbench_branches", None, "ok"),
        ("SELECT", "missing", "42P01", "error"),
        ("INSERT", "pgbench_branches", "23505", "error"),
    ]
    page = agent.get("/metrics")
    (line,) = [one for one in page.splitlines() if "db_server_operation_duration_seconds_count" in one and "42P01" in one]
    assert 'db_system_name="postgresql"' in line
    assert 'error_type="42P01"' in line
    assert 'db_namespace="postgres"' in line


class Redis:
    def __init__(self, port: int) -> None:
        self.port = port

    def run(self, program: str, *options: str) -> str:
        command = [program, "-h", "127.0.0.1", "-p", str(self.port), *options]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def called(self) -> Counter[str]:
        """Calls by command, as the server counted them."""
        found = re.findall(r"cmdstat_([\w|]+):calls=(\d+)", self.run("redis-cli", "INFO", "commandstats"))
        return Counter({name.upper(): int(calls) for name, calls in found})


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", tmp_path]
    with running(["redis-server", *options], port, tmp_path / "redis.log"):
        yield Redis(port)


@needs("redis-server", "redis-benchmark", "redis-cli")
@pytest.mark.parametrize("pipelined", [1, 16])
def test_redis_commands_are_those_of_its_own_statistics(
    start_agent: Callable[..., RunningAgent], redis: Redis, pipelined: int
) -> None:
    agent = start_agent(*RING)
    redis.run("redis-benchmark", "-t", "set,get,lpush,mset", "-n", "960", "-c", "4", "-P", str(pipelined), "-q")
    wanted = Counter({name.partition("|")[0]: calls for name, calls in redis.called().items()})
    wanted["INFO"] += 1
    assert wanted["MSET"] == 960
    found: Counter[str] = Counter()
    for (operation,), count in counts_of(agent, redis.port, "server", wanted.total(), "operation").items():
        found[operation.split()[0]] += count
    assert found == wanted


LOGGED = re.compile(
    r"^# Thread_id: (\d+).*\n# Query_time: ([0-9.]+).*\n(?:#.*\n|use .*\n)*SET timestamp=\d+;\n(.*)", re.MULTILINE
)


@pytest.fixture
def mariadb() -> Iterator[tuple[int, Path]]:
    """(port, log of every statement with its duration)."""
    with folder_of("mysql") as folder:
        yield from serve_mariadb(folder)


def serve_mariadb(folder: Path) -> Iterator[tuple[int, Path]]:
    data, log, port = folder / "data", folder / "data/slow.log", free_port()
    open_to_all = {**os.environ, "TMPDIR": "/tmp"}  # the server's user may not write to a folder of root's
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--auth-root-authentication-method=normal"],
        check=True, capture_output=True, env=open_to_all,
    )  # fmt: skip
    options = [
        "--no-defaults", "--user=mysql", f"--datadir={data}", "--tmpdir=/tmp", f"--port={port}", "--bind-address=127.0.0.1",
        f"--socket={data}/socket", "--slow-query-log", f"--slow-query-log-file={log}", "--long-query-time=0",
        "--skip-log-slow-admin-statements", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0",
    ]  # fmt: skip
    with running([shutil.which("mariadbd") or "/usr/sbin/mariadbd", *options], port, folder / "mariadb.log"):
        yield port, log


@needs("mariadb", "mariadb-slap", "mariadb-install-db")
def test_mariadb_statements_are_those_of_its_log(start_agent: Callable[..., RunningAgent], mariadb: tuple[int, Path]) -> None:
    port, log = mariadb
    agent = start_agent(*RING)
    login = ["--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", "root", "--skip-ssl"]
    subprocess.run(
        ["mariadb-slap", *login, "--concurrency=3", "--number-of-queries=150", "--create-schema=bench",
         "--create=CREATE TABLE words (id INT PRIMARY KEY AUTO_INCREMENT, word VARCHAR(20))", "--delimiter=;",
         "--query=INSERT INTO words (word) VALUES ('something'); SELECT COUNT(*) FROM words; SELECT word FROM words LIMIT 1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    broken = subprocess.run(["mariadb", *login, "-e", "SELECT * FROM mysql.missing"], check=False, capture_output=True)
    assert broken.returncode == 1
    logged: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for thread, seconds, text in LOGGED.findall(log.read_text()):
        logged[int(thread)].append((text.split()[0].strip(";").upper(), float(seconds)))
    wanted = Counter(word for statements in logged.values() for word, _ in statements)
    assert wanted["INSERT"] == 51
    rows = [row for row in requests_of(agent, port, "server", wanted.total()) if row["operation"] in wanted]
    (failed,) = [row for row in rows if row["outcome"] == "error"]
    assert (failed["operation"], failed["route"], failed["status"]) == ("SELECT", "mysql.missing", "1146")
    assert Counter(row["operation"] for row in rows) == wanted
    assert {row["protocol"] for row in rows} == {"mysql"}
    seen = by_connection(rows).values()
    for one in seen:
        check_one_after_another(one)
    pairs = pair_durations([[(row["operation"], row["duration_seconds"]) for row in one] for one in seen], [*logged.values()])
    assert len(pairs) == wanted.total()
    check_durations(pairs, MICROSECOND)


def pair_durations(seen: list[Timed], logged: list[Timed]) -> list[tuple[float, float]]:
    """Connections of both, paired by what was asked on them; the server logs no port."""
    pairs = []
    for one in seen:
        words = [word for word, _ in one]
        other = min(
            (other for other in logged if [word for word, _ in other] == words),
            key=lambda other: sum(abs(mine[1] - its[1]) for mine, its in zip(one, other, strict=True)),
            default=None,
        )
        assert other is not None, words
        logged.remove(other)
        pairs += [(mine[1], its[1]) for mine, its in zip(one, other, strict=True)]
    return pairs
