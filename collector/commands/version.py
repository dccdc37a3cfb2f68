"""`honeyguide version`."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(arguments: argparse.Namespace) -> int:
    """Prints name and version; 0."""
    try:
        number = version("honeyguide")
    except PackageNotFoundError:  # started from a source tree that was never installed
        number = "of an uninstalled source tree"
    sys.stdout.write(f"honeyguide {number}\n")
    return 0
