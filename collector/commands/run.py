"""`honeyguide run`: the agent itself."""

from __future__ import annotations

import argparse
import logging
import os

from collector.logs import start_logs
from collector.settings import Settings
from collector.settings_flags import add_settings_flags
from collector.settings_sources import load_settings

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide run`."""
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM; 0 after a clean end."""
    settings = start(arguments)
    from collector.agent import run_agent  # noqa: PLC0415 -- 0.4 s of imports that --help does not need

    return run_agent(settings)


def start(arguments: argparse.Namespace) -> Settings:
    """What every command that works like the agent begins with: settings, logs, a warning where all is open."""
    settings = load_settings(vars(arguments), os.environ).settings
    start_logs(settings.log_level, settings.log_format)
    if not settings.loopback_only and settings.token is None:
        log.warning("everybody who reaches %s can read all that the agent sees: allow_unauthenticated is set", settings.listen)
    return settings
