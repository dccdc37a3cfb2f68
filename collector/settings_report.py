"""The effective settings with their sources, and the page of docs/ that lists every option."""

from __future__ import annotations

import argparse
import json
import os
import sys

from collector.settings import Settings, describe_allowed, show_default
from collector.settings_flags import add_settings_flags
from collector.settings_sources import DEFAULT, STANDARD_FILE, LoadedSettings, load_settings, show_value, without_credentials

_PAGE = f"""# Settings

Made from `collector/settings.py` by `honeyguide settings --page`; a test keeps it in step. Do not edit.

Later sources win: the default, a TOML file (`--config`, else `HONEYGUIDE_CONFIG`, else `{STANDARD_FILE}` if it
is there), the environment, the command line. The flag of `ring_bytes` is `--ring-bytes`, its variable
`HONEYGUIDE_RING_BYTES`. An option that does not exist or a value that is not allowed stops the start with its
name, its value, where it came from and what is allowed. `honeyguide settings` prints what is in force and why.

Sizes take a unit (`1MiB`), so do times (`250ms`, `5s`, `2m`). Lists are separated by commas; in TOML they may be
arrays. `token` and `clickhouse_password` have no flag, because other users of a machine can read command lines.

```toml
# {STANDARD_FILE}
listen = "0.0.0.0:9464"
token_file = "/etc/honeyguide/token"
disable = ["packet_drop"]
snapshot_interval = "10s"
cidr = {{ office = "10.1.0.0/16", partners = ["192.0.2.0/24", "2001:db8::/32"] }}
```

| option | default | allowed | what it does |
|---|---|---|---|
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide settings`."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--page", action="store_true", help="print docs/settings.md, every option with its default")
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints what was asked for; 0."""
    if arguments.page:
        sys.stdout.write(write_page())
        return 0
    loaded = load_settings(vars(arguments), os.environ)
    sys.stdout.write(write_json(loaded) if arguments.json else write_table(loaded))
    return 0


WIDEST = 14  # long values do not push away the sources of all others


def write_table(loaded: LoadedSettings) -> str:
    """One aligned line for each option: name, value, source."""
    rows = [(name, show_value(loaded.settings, name) or "-", loaded.origins.get(name, DEFAULT)) for name in Settings.model_fields]
    widths = [max(len(row[0]) for row in rows), min(max(len(row[1]) for row in rows), WIDEST)]
    return "".join(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}\n" for name, value, origin in rows)


def write_json(loaded: LoadedSettings) -> str:
    """{option: {value, source}}; secrets are masked."""
    values = loaded.settings.model_dump(mode="json")
    values = {name: without_credentials(value) if isinstance(value, str) else value for name, value in values.items()}
    rows = {name: {"value": value, "source": loaded.origins.get(name, DEFAULT)} for name, value in values.items()}
    return json.dumps(rows, indent=2) + "\n"


def write_page() -> str:
    """docs/settings.md."""
    rows = (_row(name) for name in Settings.model_fields)
    return _PAGE + "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def _row(name: str) -> tuple[str, ...]:
    default = show_default(name)
    return (
        f"`{name}`",
        f"`{default}`" if default else "",
        describe_allowed(name),
        Settings.model_fields[name].description or "",
    )
