"""What the ClickHouse exporter is told, checked at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from collector.export.clickhouse_tables import Table

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """url: http(s)://host:port/, whose query may hold settings for the server. Passwords are never shown.

    rows, seconds: a batch is sent when it has so many rows or is so old. flow_seconds: how often open flows are told.
    spool_bytes: of batches that wait, in memory or in spool_folder. keep_days: TTL of tables that the agent creates.
    """

    url: str
    database: str = "default"
    prefix: str = "honeyguide_"
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    create_tables: bool = True
    keep_days: int = 30
    rows: int = 20_000
    seconds: float = 10.0
    flow_seconds: float = 60.0
    spool_bytes: int = 32 << 20
    spool_folder: Path | None = None
    timeout_seconds: float = TIMEOUT_SECONDS

    @property
    def shown_url(self) -> str:
        """Without user, password and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def full_name(self, table: Table) -> str:
        """`database`.`prefix_table`, for statements."""
        return f"`{self.database}`.`{self.prefix}{table.name}`"

    def address(self, parameters: Mapping[str, str]) -> str:
        """The URL of one request: parameters beside those of `url`."""
        parts = urlsplit(self.url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        return parts._replace(path=parts.path or "/", query=urlencode({**given, **parameters})).geturl()

    @property
    def headers(self) -> dict[str, str]:
        """Who asks; headers, because addresses end up in logs."""
        named = {"X-ClickHouse-User": self.user, "X-ClickHouse-Key": self.password}
        return {name: value for name, value in named.items() if value}
