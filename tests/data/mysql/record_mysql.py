"""Makes the samples beside it: real clients ask a real MariaDB while tcpdump listens; the server's two logs are the truth.

usage: PYTHONPATH=tests/unit/decode:. python record_mysql.py CLIENT_PYTHON
CLIENT_PYTHON: an interpreter with PyMySQL and mysql-connector-python. Needs root, tcpdump, mariadbd and mariadb.
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

PORT = "53307"
HERE = Path(__file__).parent
GENERAL = re.compile(r"^(?:\d{6}\s+[\d:]+)?\s*(\d+) (\w+(?: \w+)?)\t(.*)$")
SLOW = re.compile(
    r"# Thread_id: (\d+).*\n# Query_time: ([\d.]+).*Rows_sent: (\d+).*\n"
    r"# Rows_affected.*Bytes_sent: (\d+)\n(?:use .*\n)?SET timestamp=\d+;\n\W*(\w+)"
)
COMMANDS = {"Prepare": "PREPARE", "Reset stmt": "STMT_RESET", "Init DB": "INIT_DB", "Statistics": "STATISTICS"}
COMMANDS |= {"Field List": "FIELD_LIST", "Debug": "DEBUG", "Change user": "CHANGE_USER"}
WORD = re.compile(r"(?:/\*.*?\*/|\s)*([A-Za-z]*)")


def read_commands(log: str, thread: int) -> list[str]:
    """What the general log says was asked: a command, or the first word of a statement."""
    found = [line for line in map(GENERAL.match, log.splitlines()) if line and int(line[1]) == thread]
    words = [(kind, WORD.match(text)) for _, kind, text in (line.groups() for line in found)]
    return [
        COMMANDS[kind] if kind in COMMANDS else word[1].upper()
        for kind, word in words
        if word and kind in {*COMMANDS, "Query", "Execute"}
    ]


def read_statements(log: str, thread: int) -> list[list[Any]]:
    """[first word, milliseconds, rows, bytes sent] of each statement in the slow log; bytes are 0 for prepared ones."""
    return [
        [word.upper(), round(float(seconds) * 1000, 3), int(rows), int(sent)]
        for number, seconds, rows, sent, word in SLOW.findall(log)
        if int(number) == thread
    ]


def find_thread(chunks: list[list[Any]]) -> int:
    """The connection's number from the server's greeting."""
    greeting = zlib.decompress(b64decode(next(text for side, _, text in chunks if side == 1)))
    at = greeting.index(b"\0", 5) + 1
    return int.from_bytes(greeting[at : at + 4], "little")


def main(client: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="samples."))
    shutil.chown(folder, "mysql")
    folder.chmod(0o755)
    (folder / "infile.csv").write_text("10,secret-a\n11,secret-b\n")
    server_options = ["--no-defaults", "--user=mysql", f"--datadir={folder}/data", f"--socket={folder}/socket"]
    subprocess.run(["mariadb-install-db", *server_options[:3], "--auth-root-authentication-method=normal"], check=True, stdout=-3)
    logs = [
        "--general-log=1",
        f"--general-log-file={folder}/general.log",
        "--slow-query-log=1",
        f"--slow-query-log-file={folder}/slow.log",
    ]
    limits = ["--long-query-time=0", "--log-slow-disabled-statements=", "--local-infile=1", "--innodb-buffer-pool-size=32M"]
    network = [f"--port={PORT}", "--bind-address=127.0.0.1"]
    server = subprocess.Popen(["mariadbd", *server_options, *logs, *limits, *network], stderr=subprocess.DEVNULL, stdout=-3)
    try:
        time.sleep(4)
        account = (
            "create database shop; create user app@'127.0.0.1' identified by 'secretpw'; grant all on *.* to app@'127.0.0.1'"
        )
        subprocess.run(["mariadb", "--no-defaults", "-S", f"{folder}/socket", "-u", "root", "-e", account], check=True)
        record(client, folder)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def record(client: str, folder: Path) -> None:
    line = ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", PORT, "-u", "app", "-psecretpw"]
    script = (HERE / "statements.sql").read_text().replace("INFILE", f"{folder}/infile.csv")
    (folder / "statements.sql").write_text(script)
    actions = {
        "command_line": [*line, "--local-infile", "--force", "--comments", "shop", "-e", f"source {folder}/statements.sql"],
        "compressed": [*line, "-C", "shop", "-e", "select 'secret'"],
        "drivers": [client, str(HERE / "drive_mysql.py")],
    }
    for name, arguments in actions.items():
        environment = {**os.environ, "MYSQL_PORT": PORT}

        def act(command: list[str] = arguments, variables: dict[str, str] = environment) -> None:
            subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

        connections = capture(int(PORT), folder / "pcap", act)
        for connection in connections:
            thread = find_thread(connection["chunks"])
            connection["commands"] = read_commands((folder / "general.log").read_text(), thread)
            connection["statements"] = read_statements((folder / "slow.log").read_text(), thread)
        write("mysql", name, {"server": "MariaDB 10.11", "connections": connections})


if __name__ == "__main__":
    main(*sys.argv[1:])
