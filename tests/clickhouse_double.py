"""A double of ClickHouse's HTTP interface, for what a real server cannot be made to do: it hangs, refuses, lies.

What it takes it reads with `native_reader`, which is no code of ours. The real servers are in end_to_end/test_clickhouse.py.
"""

from __future__ import annotations

import gzip
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from native_reader import NativeReader

from collector.export.clickhouse_tables import TABLES

TABLE = re.compile(r"INSERT INTO `\w+`\.`honeyguide_(\w+)`")
DESCRIBE = re.compile(r"DESCRIBE TABLE `\w+`\.`honeyguide_(\w+)`")
COUNT = re.compile(r"SELECT count\(\) FROM `\w+`\.`honeyguide_(\w+)` WHERE .* AND batch = (\d+)")


@dataclass
class ClickHouseDouble:
    """behave: answers a request instead of the usual `take`. rows: by table, of all inserts that were kept."""

    url: str = ""
    version: str = "25.3.1.1"
    behave: Callable[[Handler], None] | None = None
    kept: list[tuple[str, dict[str, list[Any]]]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    repeated: int = 0
    statements: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    columns_missing: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=lambda: {"flows", "requests", "lookups"})

    @property
    def rows(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for table, values in self.kept:
            counts[table] += len(values["time"])
        return counts

    def values(self, table: str, column: str) -> list[Any]:
        """Of all rows, in the order of arrival."""
        return [value for name, values in self.kept if name == table for value in values[column]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: ClickHouseDouble

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.parameters = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.statement = self.parameters.get("query") or self.body.decode()
        self.double.statements.append(self.statement)
        self.double.headers.append(dict(self.headers))
        (self.double.behave or Handler.take)(self)

    @property
    def is_insert(self) -> bool:
        return self.statement.startswith("INSERT")

    def take(self) -> None:
        """As a server does that is well."""
        if self.is_insert:
            self._answer_insert()
        elif match := COUNT.match(self.statement):
            found = [len(v["time"]) for name, v in self.double.kept if name == match[1] and v["batch"][0] == int(match[2])]
            self.answer(200, str(sum(found)))
        elif match := DESCRIBE.match(self.statement):
            self._describe(match[1])
        elif self.statement.startswith("CREATE TABLE"):
            self.double.tables.add(self.statement.split("`honeyguide_")[1].split("`")[0])
            self.answer(200, "")
        else:
            self.answer(200, self.double.version)

    def keep(self) -> bool:
        """Stores an insert; False when there is no such table."""
        match = TABLE.match(self.statement)
        assert match is not None
        if match[1] not in self.double.tables:
            return False
        token = self.parameters.get("insert_deduplication_token", "")
        if token and token in self.double.tokens:
            self.double.repeated += 1
            return True
        self.double.tokens.add(token)
        self.double.kept.append((match[1], NativeReader(gzip.decompress(self.body)).blocks()[0]))
        return True

    def _answer_insert(self) -> None:
        if self.keep():
            self.answer(200, "")
        else:
            self.refuse(404, 60, "Table default.honeyguide_x does not exist")

    def _describe(self, table: str) -> None:
        if table not in self.double.tables:
            self.refuse(404, 60, f"Table default.honeyguide_{table} does not exist")
            return
        names = [column.name for column in TABLES[table].columns if column.name not in self.double.columns_missing]
        self.answer(200, "".join(f"{name}\tString\t\t\t\t\t\n" for name in names))

    def refuse(self, status: int, code: int, text: str, **headers: str) -> None:
        self.answer(status, f"Code: {code}. DB::Exception: {text}. (NAME) (version 25.3.1.1 (official build))\n", **headers)

    def answer(self, status: int, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def clickhouse_double(tls: tuple[Path, Path] | None = None) -> Iterator[ClickHouseDouble]:
    """Running on a free port of loopback. tls: files with the certificate and its key."""
    double = ClickHouseDouble()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"double": double}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    double.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
