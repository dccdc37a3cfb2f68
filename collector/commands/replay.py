"""`honeyguide replay`: a recording or a packet capture through the same pipeline, without root and without eBPF."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from collector.commands.run import start
from collector.settings_flags import add_settings_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `honeyguide replay`."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="a recording made by `honeyguide record`, or a packet capture (pcap, pcapng)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--serve", action="store_true", help="serve API and metrics as `run` does, instead of a summary")
    what.add_argument(
        "-o", "--output", choices=("summary", "json"), default="summary", help="json: each request and name lookup as a line"
    )
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replays; 0 at the end of the file, or after serving it."""
    settings = start(arguments)
    from collector.agent import open_file, replay  # noqa: PLC0415 -- see run.py
    from collector.request_lines import write_requests  # noqa: PLC0415

    if arguments.output == "json":
        source = open_file(settings, arguments.file)
        write_requests(source, sys.stdout)
        source.close()
        return 0
    return replay(settings, arguments.file, arguments.serve)
