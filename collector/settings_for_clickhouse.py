"""What the settings say about ClickHouse, in the form its exporter takes."""

from __future__ import annotations

from collector.export.clickhouse_settings import ClickHouseSettings
from collector.settings import Settings


def clickhouse_settings(settings: Settings) -> ClickHouseSettings | None:
    """None when no server is named."""
    if not settings.clickhouse_url:
        return None
    return ClickHouseSettings(
        url=settings.clickhouse_url,
        database=settings.clickhouse_database,
        prefix=settings.clickhouse_prefix,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value() if settings.clickhouse_password else "",
        ca_file=settings.clickhouse_ca_file,
        create_tables=settings.clickhouse_create_tables,
        keep_days=settings.clickhouse_keep_days,
        rows=settings.clickhouse_batch_rows,
        seconds=settings.clickhouse_batch_seconds,
        flow_seconds=settings.clickhouse_flow_seconds,
        spool_bytes=settings.clickhouse_spool_bytes,
        spool_folder=settings.clickhouse_spool_folder,
    )
