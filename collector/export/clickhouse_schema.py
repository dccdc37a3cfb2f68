"""`honeyguide clickhouse-schema`: the statements that make the tables, for those who let nobody else make tables."""

from __future__ import annotations

import argparse
import os
import sys

from collector.errors import SettingsError
from collector.export.clickhouse_answer import read_version
from collector.export.clickhouse_settings import ClickHouseSettings
from collector.export.clickhouse_tables import TABLES, create_statement
from collector.settings_flags import add_settings_flags
from collector.settings_sources import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide clickhouse-schema`."""
    parser.add_argument("--server-version", default="25.3", metavar="VERSION", help="what `SELECT version()` says (default 25.3)")
    parser.add_argument("--engine", default="MergeTree", help="table engine with its arguments (default MergeTree)")
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the statements; 0."""
    version = read_version(arguments.server_version)
    if not version:
        raise SettingsError(f"--server-version {arguments.server_version!r} is no version.", "It looks like 25.3.")
    settings = load_settings(vars(arguments), os.environ).settings
    names = ClickHouseSettings(settings.clickhouse_url, settings.clickhouse_database, settings.clickhouse_prefix)
    for table in TABLES.values():
        statement = create_statement(table, names.full_name(table), version, settings.clickhouse_keep_days, arguments.engine)
        sys.stdout.write(statement + ";\n\n")
    return 0
