"""The flags that the views share, and what becomes of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from collector.settings import Settings
from collector.settings_sources import STANDARD_FILE, load_settings
from collector.terminal.client import AgentClient

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
NO_FILE = Path("/dev/null")
WORKLOAD_FLAGS = (
    ("workload", "NAME", "workload by name or namespace/name; * and ? stand for any text and any letter"),
    ("namespace", "NAME", "namespace of the workload"),
    ("pod", "NAME", "pod by uid, name or namespace/name"),
    ("container", "ID", "container by id or name"),
    ("node", "NAME", "node of the cluster that the pod is on"),
    ("label", "KEY=VALUE", "pod label, of those that the setting kubernetes_labels keeps"),
)
TIME_FLAGS = (
    ("since", "TIME", "what existed at or after this: 5m, 2h, 1d, 2026-11-23T08:00:00Z or unix seconds"),
    ("until", "TIME", "what existed at or before this"),
)
Flags = Sequence[tuple[str, str, str]]


def add_agent_flags(parser: argparse.ArgumentParser, outputs: Sequence[str] = ("table", "json")) -> None:
    """Where the agent is, and how to print what it says."""
    group = parser.add_argument_group("agent and output")
    group.add_argument("-o", "--output", choices=outputs, default="table", help="json: one object a line (default table)")
    group.add_argument("--url", help="where the agent is (default: HONEYGUIDE_URL, else where this machine's settings say)")
    group.add_argument("--token-file", metavar="FILE", help="file whose first line is the agent's token (or HONEYGUIDE_TOKEN)")
    group.add_argument("--config", metavar="FILE", help=f"settings file of this machine's agent (default {STANDARD_FILE})")


def add_flags(parser: argparse.ArgumentParser, title: str, flags: Flags, *, several: bool) -> None:
    """One flag for each query parameter; several: may be repeated. The agent checks the values and says what is allowed."""
    group = parser.add_argument_group(title)
    action = "append" if several else "store"
    for name, placeholder, text in flags:
        group.add_argument("--" + name.replace("_", "-"), metavar=placeholder, action=action, help=text)


def add_limit(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument("--limit", metavar="N", default=str(default), help=f"how many at most, up to 10000 (default {default})")


def parameters(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, str | Sequence[str]]:
    """Query parameters: those of `names` that were given."""
    given = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def names_of(*flags: Flags) -> list[str]:
    """Names of the parameters of all these flags."""
    return [name for group in flags for name, _, _ in group]


def open_client(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> AgentClient:
    """A client of the agent that flags, variables or this machine's settings name; SettingsError when they are wrong."""
    url = arguments.url or environment.get("HONEYGUIDE_URL", "")
    # whoever names another agent need not be allowed to read this machine's settings
    standard = NO_FILE if url else STANDARD_FILE
    given = {"config": arguments.config, "token_file": arguments.token_file}
    settings = load_settings(given, environment, standard).settings
    return AgentClient(url or _url(settings), settings.token.get_secret_value() if settings.token else "")


def _url(settings: Settings) -> str:
    host = ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
