"""Writes the JSON of the boards beside this file; --check says whether what is there is in step."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent_board import AGENT
from network_board import NETWORK
from requests_board import REQUESTS

FOLDER = Path(__file__).resolve().parent
BOARDS = {"network.json": NETWORK, "requests.json": REQUESTS, "agent.json": AGENT}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a board is out of step")
    arguments = parser.parse_args()
    stale = []
    for name, board in BOARDS.items():
        path, text = FOLDER / name, board.write_json()
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"{', '.join(stale)}: out of step; run: python dashboards/build.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
