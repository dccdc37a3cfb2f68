"""A page of any size is made in small pieces, while whoever asked takes them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from aggregate.rows_to_count import make_batch

from collector.aggregate.aggregator import AggregateSettings, Aggregator
from collector.catalog.manifest import Manifest
from collector.export.prometheus import render
from collector.export.prometheus_page import PIECE, in_pieces
from collector.instruments import Instrument, InstrumentKind, InstrumentSnapshot, Point, Snapshot
from collector.workload import Workload, WorkloadKind

SERIES, INSTRUMENTS = 500, 20


def large_snapshot(made: list[str]) -> Snapshot:
    """made: the instruments of which somebody has asked for the points."""

    class Told(list[Point]):
        def __init__(self, name: str) -> None:
            super().__init__([Point(None, {"name": f"{name}-{number}" * 10}, 1.0, 1.0) for number in range(SERIES)])
            self.name = name

        def __iter__(self) -> Iterator[Point]:
            made.append(self.name)
            return super().__iter__()

    names = [f"number_{number}" for number in range(INSTRUMENTS)]
    return Snapshot(
        1.0, [InstrumentSnapshot(Instrument(name, InstrumentKind.COUNTER, "", "Told."), Told(name)) for name in names]
    )


def test_points_are_made_when_their_piece_is_asked_for() -> None:
    made: list[str] = []
    pieces, _ = render(large_snapshot(made), "")
    assert made == []
    next(pieces)
    assert 0 < len(made) < INSTRUMENTS
    assert len(list(pieces)) >= 3
    assert len(made) == INSTRUMENTS


@pytest.mark.parametrize("least", [1, 7, 10_000])
def test_pieces_are_the_page_whatever_their_length(least: int) -> None:
    lines = [f"lïne {number}\n" for number in range(50)]
    pieces = list(in_pieces(lines, least))
    assert b"".join(pieces).decode() == "".join(lines)
    assert all(len(piece.decode()) >= least for piece in pieces[:-1])
    assert list(in_pieces([], least)) == []


MANIFEST = Manifest.model_validate(
    {
        "question": "What is counted here?",
        "cost": "nothing",
        "oldest_kernel": "5.10",
        "hook": [{"purpose": "rows", "account": "rows", "alternatives": ["rows"]}],
        "record": [{"struct": "flow_row", "ring": "rows", "account": "rows"}],
        "metric": [
            {
                "name": f"sample.rows_{number}", "kind": "counter", "unit": "{row}", "help": "Rows of the sample.",
                "record": "flow_row", "identity": ["local"],
            }
            for number in range(40)
        ],
    }
)  # fmt: skip


WORKLOADS = [Workload(number, WorkloadKind.UNIT, f"unit-{number}") for number in range(1500)]


def test_a_page_and_all_it_is_made_of_never_exist_at_once() -> None:
    aggregator = Aggregator(AggregateSettings(), WORKLOADS.__getitem__)
    aggregator.add_probe("tcp", MANIFEST, {})
    aggregator.add(make_batch(added={"local": np.arange(1500).tolist()}, flow=[1] * 1500), 1000.0)
    tracemalloc.start()
    try:
        pieces, _ = render(Snapshot(1000.0, aggregator.snapshot()), "")
        length = sum(len(piece) for piece in pieces)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert length > 40 * 1500 * 60
    assert most < 1.5 * length, "60,000 points alone take five times as much"


def test_a_snapshot_stays_as_it_was() -> None:
    aggregator = Aggregator(AggregateSettings(), WORKLOADS.__getitem__)
    aggregator.add_probe("tcp", MANIFEST, {})
    aggregator.add(make_batch(added={"local": [1, 1, 2]}, flow=[1] * 3), 1000.0)
    before = aggregator.snapshot()[0]
    aggregator.add(make_batch(added={"local": [1, 3]}, flow=[1] * 2), 1001.0)
    told = {point.workload.number: point.value for point in before.points if point.workload}
    assert told == {1: 2.0, 2: 1.0}
    assert PIECE < 1 << 20
