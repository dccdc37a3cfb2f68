from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from rows_to_count import make_batch, snapshot

from collector.aggregate.cumulative import CumulativeFields, CumulativeJoin
from collector.batch import Batch, BatchKind

FIELDS = CumulativeFields(("flow",), ("bytes", "segments"), ("established_at",), "opened_at")
MAP_FIELDS = CumulativeFields(("port", "event"), ("bytes",), restarts=True)


def increases(batch: Batch, name: str = "bytes") -> dict[int, int]:
    return dict(zip(batch["flow"].tolist(), batch[f"{name}_increase"].tolist(), strict=True))


def test_first_snapshot_counts_what_began_while_the_agent_ran() -> None:
    joined = CumulativeJoin(FIELDS).join(snapshot(flow=[1, 2], opened_at=[5, 0], bytes=[10, 20]))
    assert increases(joined) == {1: 10, 2: 0}
    assert joined["first_seen"].tolist() == [True, True]


def test_later_snapshots_and_the_event_count_the_difference() -> None:
    join = CumulativeJoin(FIELDS)
    join.join(snapshot(flow=[1, 2], opened_at=[5, 0], bytes=[10, 20]))
    assert increases(join.join(snapshot(flow=[2, 1], opened_at=[0, 5], bytes=[21, 15]))) == {1: 5, 2: 1}
    ended = join.join(make_batch(flow=[1], opened_at=[5], bytes=[18]))
    assert increases(ended) == {1: 3}
    assert ended["first_seen"].tolist() == [False]
    assert (join.vanished, join.disordered) == (0, 0)


def test_event_of_a_row_that_no_snapshot_saw_counts_in_full() -> None:
    assert increases(CumulativeJoin(FIELDS).join(make_batch(flow=[1, 2], opened_at=[5, 0], bytes=[18, 7]))) == {1: 18, 2: 0}


def test_rows_keep_their_order_and_repeated_ones_are_left_out() -> None:
    batch = snapshot(flow=[9, 3, 7, 3, 9, 1], opened_at=[1] * 6, bytes=[1, 2, 3, 4, 5, 6])
    joined = CumulativeJoin(FIELDS).join(batch)
    assert joined["flow"].tolist() == [9, 3, 7, 1]
    assert joined["bytes"].tolist() == [1, 2, 3, 6]


def test_row_that_one_snapshot_skipped_is_not_counted_twice() -> None:
    join = CumulativeJoin(FIELDS)
    join.join(snapshot(flow=[1], opened_at=[5], bytes=[10]))
    join.join(snapshot(flow=[2], opened_at=[5], bytes=[10]))
    assert increases(join.join(snapshot(flow=[1, 2], opened_at=[5, 5], bytes=[12, 11]))) == {1: 2, 2: 1}
    assert join.vanished == 0


def test_row_missing_from_two_snapshots_is_forgotten_and_counted_as_vanished() -> None:
    join = CumulativeJoin(FIELDS)
    join.join(snapshot(flow=[1], opened_at=[5], bytes=[10]))
    for _ in range(3):
        join.join(snapshot(flow=[], opened_at=[], bytes=[]))
    assert join.vanished == 1


def test_row_that_ended_by_an_event_has_not_vanished() -> None:
    join = CumulativeJoin(FIELDS)
    join.join(snapshot(flow=[1], opened_at=[5], bytes=[10]))
    join.join(make_batch(flow=[1], opened_at=[5], bytes=[10]))
    for _ in range(3):
        join.join(snapshot(flow=[], opened_at=[], bytes=[]))
    assert join.vanished == 0


def test_counter_that_wraps_in_its_own_width_goes_on() -> None:
    join = CumulativeJoin(FIELDS)
    join.join(snapshot(flow=[1], opened_at=[5], segments=[0xFFFFFFF0]))
    assert increases(join.join(snapshot(flow=[1], opened_at=[5], segments=[0x10])), "segments") == {1: 0x20}
    assert join.disordered == 0


def test_counter_read_while_it_was_written_is_not_counted_twice() -> None:
    join = CumulativeJoin(FIELDS)
    total = 0
    for value in (100, 90, 95, 130):
        total += increases(join.join(snapshot(flow=[1], opened_at=[5], bytes=[value])))[1]
    assert total == 130
    assert join.disordered == 2


def test_entry_of_a_map_that_comes_back_counts_from_zero() -> None:
    join = CumulativeJoin(MAP_FIELDS)
    grown = [join.join(snapshot(port=[80], event=[0], bytes=[value]))["bytes_increase"].tolist() for value in (100, 7, 9)]
    assert grown == [[100], [7], [2]]
    assert join.disordered == 0


def test_keys_of_several_fields_are_told_apart() -> None:
    join = CumulativeJoin(MAP_FIELDS)
    join.join(snapshot(port=[80, 443, 80], event=[0, 0, 1], bytes=[1, 2, 3]))
    joined = join.join(snapshot(port=[443, 80, 80], event=[0, 1, 0], bytes=[12, 23, 31]))
    assert joined["bytes_increase"].tolist() == [10, 20, 30]


def test_field_that_becomes_known_is_new_one_time() -> None:
    join = CumulativeJoin(FIELDS)
    new = []
    for at in (0, 0, 44, 44):
        new.append(join.join(snapshot(flow=[1], opened_at=[5], established_at=[at]))["established_at_new"].tolist())
    new.append(join.join(make_batch(flow=[1], opened_at=[5], established_at=[44]))["established_at_new"].tolist())
    new.append(join.join(make_batch(flow=[2], opened_at=[5], established_at=[44]))["established_at_new"].tolist())
    assert new == [[False], [False], [True], [False], [False], [True]]


def test_columns_of_enrichers_come_along() -> None:
    batch = make_batch(BatchKind.SNAPSHOT, {"local": [7, 8, 7]}, flow=[2, 1, 2], opened_at=[1, 1, 1])
    assert CumulativeJoin(FIELDS).join(batch)["local"].tolist() == [7, 8]


@dataclass
class SlowJoin:
    """The same with dictionaries, row by row."""

    known: dict[int, int] = field(default_factory=dict)
    missed: dict[int, int] = field(default_factory=dict)
    vanished: int = 0

    def join(self, kind: BatchKind, rows: Sequence[tuple[int, int, int]]) -> dict[int, int]:
        grown: dict[int, int] = {}
        for flow, opened_at, count in rows:
            if flow in grown:
                continue
            before = self.known.get(flow, 0 if opened_at else count)
            grown[flow] = (count - before) % 2**32
            if kind is BatchKind.SNAPSHOT:
                self.known[flow], self.missed[flow] = count, 0
            else:
                self.known.pop(flow, None)
        if kind is BatchKind.SNAPSHOT:
            for flow in [flow for flow in self.known if flow not in grown]:
                self.missed[flow] += 1
                if self.missed[flow] > 1:
                    del self.known[flow]
                    self.vanished += 1
        return grown


@dataclass
class Life:
    """One connection: what it will count at each step, and where the iterator skips it."""

    start: int
    steps: list[tuple[int, bool]]  # growth, seen by the snapshot
    old: bool
    told: bool  # its end comes as an event


LIVES = st.lists(
    st.builds(
        Life,
        start=st.integers(0, 2**32 - 1),
        steps=st.lists(st.tuples(st.integers(0, 2**30), st.booleans()), min_size=1, max_size=7),
        old=st.booleans(),
        told=st.booleans(),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(LIVES, st.booleans())
def test_any_course_of_snapshots_and_ends_counts_as_the_slow_model_does(lives: list[Life], repeated: bool) -> None:
    join, model = CumulativeJoin(CumulativeFields(("flow",), ("segments",), (), "opened_at")), SlowJoin()
    counts = [life.start if life.old else 0 for life in lives]
    for step in range(8):
        alive = [number for number, life in enumerate(lives) if step < len(life.steps)]
        for number in alive:
            counts[number] = (counts[number] + lives[number].steps[step][0]) % 2**32
        seen = [number for number in alive if lives[number].steps[step][1]]
        ended = [number for number in alive if step == len(lives[number].steps) - 1 and lives[number].told]
        staying = [number for number in seen if number not in ended]
        for kind, numbers in ((BatchKind.EVENTS, ended), (BatchKind.SNAPSHOT, staying * (1 + repeated))):
            rows = [(number, 0 if lives[number].old else 9, counts[number]) for number in numbers]
            flows, opened, segments = ([row[place] for row in rows] for place in range(3))
            joined = join.join(make_batch(kind, flow=flows, opened_at=opened, segments=segments))
            assert increases(joined, "segments") == model.join(kind, rows)
    assert (join.vanished, join.disordered) == (model.vanished, 0)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.lists(st.tuples(st.integers(0, 2**30 - 1), st.booleans()), max_size=9))
def test_increases_add_up_to_the_last_total_minus_the_start(start: int, old: bool, steps: list[tuple[int, bool]]) -> None:
    """As long as no two snapshots in a row skip the row, and it grows by less than half its width in between."""
    join = CumulativeJoin(CumulativeFields(("flow",), ("segments",), (), "opened_at"))
    opened, count, skipped, total = (0, start, False, 0) if old else (9, 0, False, 0)
    for growth, wants_skip in [(0, False), *steps]:
        skipped = wants_skip and not skipped
        count += growth
        rows = [] if skipped else [0]
        joined = join.join(snapshot(flow=rows, opened_at=[opened] * len(rows), segments=[count % 2**32] * len(rows)))
        total += int(joined["segments_increase"].sum())
    joined = join.join(make_batch(flow=[0], opened_at=[opened], segments=[count % 2**32]))
    assert total + int(joined["segments_increase"].sum()) == count - (start if old else 0)
    assert (join.disordered, joined["first_seen"].tolist()) == (0, [False])
