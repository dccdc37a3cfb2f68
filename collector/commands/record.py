"""`honeyguide record`: what the kernel says, with its layout, into a file that `replay` reads anywhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from collector.commands.run import start
from collector.quantities import read_seconds
from collector.settings_flags import add_settings_flags

_LONGEST = 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide record`."""
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the recording to write")
    parser.add_argument(
        "--seconds",
        metavar="TIME",
        type=_length,
        default=30.0,
        help="how long (100 ms to 24 h; default 30 s, Ctrl-C ends earlier)",
    )
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Records; 0 when the file is whole."""
    settings = start(arguments)
    from collector.agent import record  # noqa: PLC0415 -- see run.py

    return record(settings, arguments.output, arguments.seconds)


def _length(text: str) -> float:
    try:
        seconds = read_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0.1 <= seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not between 100 ms and 24 h")
    return seconds
