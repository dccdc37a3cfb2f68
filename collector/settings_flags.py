"""The command line's flags for settings, made from the model."""

from __future__ import annotations

import argparse
from typing import Any

from collector.option_kinds import Kind
from collector.settings import Settings, describe_range, kind_of, show_default
from collector.settings_sources import SECRETS, STANDARD_FILE, flag_of

# A secret has no flag: every user of the machine can read the command lines of its processes.
_WITHOUT_FLAG = SECRETS.keys()


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --config and one flag for each option; only those given appear in the parsed namespace."""
    group = parser.add_argument_group("settings", "each also as HONEYGUIDE_<NAME> or in a TOML file")
    group.add_argument(
        "--config", metavar="FILE", default=argparse.SUPPRESS, help=f"TOML file (default {STANDARD_FILE}, if it is there)"
    )
    for name in Settings.model_fields:
        if name not in _WITHOUT_FLAG:
            group.add_argument(flag_of(name), dest=name, default=argparse.SUPPRESS, help=_help(name), **_shape(name))


def _help(name: str) -> str:
    described = (Settings.model_fields[name].description or "").rstrip(".")
    default = show_default(name)
    limits = "; ".join(filter(None, (describe_range(name), f"default {default}" if default else "")))
    return (f"{described} ({limits})" if limits else described).replace("%", "%%")


def _shape(name: str) -> dict[str, Any]:
    """How argparse takes the option: a switch, a list that may be repeated, or one value that the model will read."""
    kind: Kind = kind_of(name)
    if Settings.model_fields[name].annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    if kind.placeholder.endswith(",..."):
        return {"action": "append", "metavar": kind.placeholder}
    return {"metavar": kind.placeholder}
