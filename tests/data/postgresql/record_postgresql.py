"""Makes the samples beside it: real clients ask a real PostgreSQL while tcpdump listens, and the server's log is the truth.

usage: PYTHONPATH=tests/unit/decode:. python record_postgresql.py CLIENT_PYTHON
CLIENT_PYTHON: an interpreter with psycopg and asyncpg. Needs root, tcpdump, initdb, postgres, psql and pgbench.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

from recorded_streams import capture, write

PORT = 55433
HERE = Path(__file__).parent
CONFIGURATION = f"""
port={PORT}
listen_addresses='127.0.0.1'
log_min_duration_statement=0
log_line_prefix='@%p|%e|'
fsync=off
shared_buffers=16MB
"""
ENVIRONMENT = {
    **os.environ,
    "PGHOST": "127.0.0.1",
    "PGPORT": str(PORT),
    "PGUSER": "app",
    "PGDATABASE": "shop",
    "PGSSLMODE": "disable",
}
ENVIRONMENT["PGGSSENCMODE"] = "disable"
LINE = re.compile(r"^@(\d+)\|(\w{5})\|(LOG|ERROR|STATEMENT): +(?:duration: ([0-9.]+) ms +(\w+)(?: [^:]*)?: )?(.*)$")
WORD = re.compile(r"(?:/\*.*?\*/|\s)*([A-Za-z]*)")


def read_truth(log: str, process: int) -> list[list[Any]]:
    """[first word, SQLSTATE, the server's milliseconds] of everything executed by one backend; parse and bind add their time."""
    truth: list[list[Any]] = []
    before, failed = 0.0, ""
    for found in map(LINE.match, log.splitlines()):
        if not found or int(found[1]) != process:
            continue
        state, kind, milliseconds, step, text = found[2], found[3], found[4], found[5], found[6]
        word = WORD.match(text)
        name = word[1].upper() if word else ""
        if kind == "ERROR":
            failed = state
        elif kind == "STATEMENT":
            truth.append([name, failed, None])
            before, failed = 0.0, ""
        elif failed and truth:  # an error of no statement: the commit at the end of a group failed
            truth[-1][1], failed = failed, ""
        if step in ("parse", "bind"):
            before += float(milliseconds)
        elif step in ("statement", "execute"):
            truth.append([name, "", round(before + float(milliseconds), 3)])
            before = 0.0
    return truth


def find_process(chunks: list[list[Any]]) -> int:
    """The backend's number from the BackendKeyData that it sends at the beginning."""
    answer = b"".join(zlib.decompress(b64decode(text)) for side, _, text in chunks[:12] if side == 1)
    at = answer.find(b"K\0\0\0\x0c")
    return int.from_bytes(answer[at + 5 : at + 9]) if at >= 0 else 0


def main(client: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="samples."))
    shutil.chown(folder, "postgres")
    as_server = ["runuser", "-u", "postgres", "--"]
    subprocess.run([*as_server, "initdb", "-D", folder / "data", "-U", "app", "--auth=trust", "--no-sync"], check=True, stdout=-3)
    with (folder / "data/postgresql.conf").open("a") as file:
        file.write(CONFIGURATION + f"unix_socket_directories='{folder}'\n")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*as_server, "postgres", "-D", folder / "data"], stderr=log)
    try:
        time.sleep(3)
        subprocess.run(["createdb", "shop"], env=ENVIRONMENT, check=True)
        subprocess.run(["pgbench", "-q", "-i"], env=ENVIRONMENT, check=True, stderr=-3)
        record(client, folder)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def record(client: str, folder: Path) -> None:
    pgbench = ["pgbench", "-n", "-c", "1"]
    actions = {
        "psql": ["psql", "-q", "-f", str(HERE / "statements.sql")],
        "pgbench_simple": [*pgbench, "-M", "simple", "-t", "4"],
        "pgbench_extended": [*pgbench, "-M", "extended", "-t", "4"],
        "pgbench_prepared": [*pgbench, "-M", "prepared", "-t", "4"],
        "pgbench_pipeline": [*pgbench, "-M", "extended", "-t", "3", "-f", str(HERE / "pipeline.sql")],
        "drivers": [client, str(HERE / "drive_postgresql.py")],
    }
    for name, arguments in actions.items():
        connections = capture(
            PORT,
            folder / "pcap",
            lambda command=arguments: subprocess.run(command, env=ENVIRONMENT, stdout=-3, stderr=-3, check=False),
        )
        log = (folder / "log").read_text()
        for connection in connections:
            connection["truth"] = read_truth(log, find_process(connection["chunks"]))
        write("postgresql", name, {"server": "PostgreSQL 15", "connections": connections})


if __name__ == "__main__":
    main(*sys.argv[1:])
