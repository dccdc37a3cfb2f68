"""What one connection behind NAT costs: read from the kernel's message, kept, and found again for a row of flows.

    .venv/bin/python bench/translations.py [--connections 5000] [--known 60000]

Messages are made after a recorded one. CPU time of one thread; nothing is sent or loaded.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from collector.address_translation import SCHEMA
from collector.batch import Batch, BatchKind, Rows
from collector.enrich.translations import Translations, views_of
from collector.source.conntrack_messages import read_messages

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/unit/source"))
ROUNDS = 7


def make_messages(count: int) -> list[bytes]:
    from conntrack_bytes import NEW, Ends, message  # noqa: PLC0415 -- of the tests

    clients = [f"10.1.{number >> 8 & 255}.{number & 255}|{1024 + number}" for number in range(count)]
    return [message(NEW, Ends(client, "10.96.0.1|80"), Ends("10.2.0.7|8080", client)) for client in clients]


def measure(work: Callable[[], object], items: int) -> float:
    """ns per item, median of several rounds."""
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        work()
        taken.append((time.process_time_ns() - started) / items)
    return median(taken)


def fill(known: int, rows: Rows) -> Translations:
    table = Translations()
    for round_ in range(-(-known // len(rows))):
        more = rows.copy()
        more["original_source_port"] += np.uint16(round_)
        more["reply_destination_port"] += np.uint16(round_)
        table.learn(Batch(SCHEMA, BatchKind.EVENTS, more))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=5000, help="in one batch")
    parser.add_argument("--known", type=int, default=60000, help="in the table already")
    options = parser.parse_args()
    messages = make_messages(options.connections)
    rows = read_messages(messages).rows
    rows["observed_at"] = 1
    table = fill(options.known, rows)
    keys = views_of(rows)[0]
    zeros, at = np.zeros(len(keys), np.uint32), np.full(len(keys), 5, np.uint64)
    again = Batch(SCHEMA, BatchKind.EVENTS, rows)
    print(f"{len(table)} connections known, ns per connection or row:")
    print(f"  read     {measure(lambda: read_messages(messages), len(messages)):7.0f}")
    print(f"  learn    {measure(lambda: table.learn(again), len(rows)):7.0f}")
    print(f"  find     {measure(lambda: table.find(keys, zeros, zeros.astype(bool), at, at), len(keys)):7.0f}")


if __name__ == "__main__":
    main()
