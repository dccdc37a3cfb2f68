"""`honeyguide replay`: a recording through the same pipeline, without root and without a kernel that allows eBPF."""

from __future__ import annotations

import argparse
from pathlib import Path

from collector.commands.run import start
from collector.settings_flags import add_settings_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide replay`."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a recording made by `honeyguide record`")
    parser.add_argument("--serve", action="store_true", help="serve API and metrics as `run` does, instead of a summary")
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replays; 0 at the end of the recording, or after serving it."""
    settings = start(arguments)
    from collector.agent import replay  # noqa: PLC0415 -- see run.py

    return replay(settings, arguments.file, arguments.serve)
