from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ring_memory import RingMemory

from collector.source.ring_buffer import RingBuffer

RECORD = np.dtype([("number", "<u8"), ("text", "S4")])  # 12 bytes: 4 of rounding, 24 with the header
WRONG = b"another size!!" * 2


def record(number: int) -> bytes:
    return np.array((number, b"row"), RECORD).tobytes()


def numbers(ring: RingBuffer) -> list[int]:
    rows = ring.drain()
    assert set(rows["text"].tolist()) <= {b"row"}
    return [int(number) for number in rows["number"]]


@pytest.fixture
def memory() -> Iterator[RingMemory]:
    with closing(RingMemory()) as opened:
        yield opened


@pytest.fixture
def ring(memory: RingMemory) -> Iterator[RingBuffer]:
    with closing(RingBuffer(memory.descriptor, memory.size, RECORD)) as opened:
        yield opened


def test_empty_ring_gives_no_rows(ring: RingBuffer) -> None:
    rows = ring.drain()
    assert (len(rows), rows.dtype, ring.fill, ring.decoded, ring.undecodable) == (0, RECORD, 0.0, 0, 0)


def test_records_come_out_once_in_order_and_free_the_ring(memory: RingMemory, ring: RingBuffer) -> None:
    for number in range(5):
        memory.put(record(number))
    assert numbers(ring) == [0, 1, 2, 3, 4]
    assert memory.consumed == memory.produced
    assert numbers(ring) == []
    assert ring.decoded == 5


def test_rows_stay_as_they_were_when_the_ring_is_used_again(memory: RingMemory, ring: RingBuffer) -> None:
    memory.put(record(1))
    rows = ring.drain()
    memory.start_at(memory.produced)
    for number in range(2, 150):
        memory.put(record(number))
    assert rows["number"].tolist() == [1]


@pytest.mark.parametrize("before_end", [8, 16, 24])
def test_record_that_wraps_is_whole(memory: RingMemory, ring: RingBuffer, before_end: int) -> None:
    memory.start_at(7 * memory.size - before_end)
    for number in range(3):
        memory.put(record(number))
    assert numbers(ring) == [0, 1, 2]


def test_record_finished_while_it_is_looked_at_is_not_lost(
    memory: RingMemory, ring: RingBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = memory.reserve(RECORD.itemsize)
    assert busy is not None
    find_first = np.argmin

    def finish_then_find(usable: np.ndarray) -> np.intp:
        memory.submit(busy, record(1))
        return find_first(usable)

    with monkeypatch.context() as patch:
        patch.setattr(np, "argmin", finish_then_find)
        assert numbers(ring) == []
    assert (numbers(ring), ring.undecodable) == ([1], 0)


def test_busy_record_holds_back_what_follows(memory: RingMemory, ring: RingBuffer) -> None:
    memory.put(record(1))
    busy = memory.reserve(RECORD.itemsize)
    assert busy is not None
    memory.put(record(3))
    assert numbers(ring) == [1]
    assert memory.consumed == busy
    assert numbers(ring) == []
    memory.submit(busy, record(2))
    assert numbers(ring) == [2, 3]


def test_busy_record_of_another_size_holds_back_too(memory: RingMemory, ring: RingBuffer) -> None:
    busy = memory.reserve(len(WRONG))
    assert busy is not None
    memory.put(record(1))
    assert numbers(ring) == []
    memory.submit(busy, WRONG)
    assert numbers(ring) == [1]
    assert ring.undecodable == 1


def test_discarded_record_is_left_out_and_not_counted(memory: RingMemory, ring: RingBuffer) -> None:
    for number in range(4):
        memory.put(record(number), discard=number in (0, 2))
    memory.put(WRONG, discard=True)
    assert numbers(ring) == [1, 3]
    assert (ring.decoded, ring.undecodable) == (2, 0)


@pytest.mark.parametrize("wrong", [b"", b"x", WRONG, bytes(RECORD.itemsize - 1), bytes(RECORD.itemsize + 1)])
def test_record_of_a_wrong_size_is_stepped_over_and_counted(memory: RingMemory, ring: RingBuffer, wrong: bytes) -> None:
    for content in (wrong, record(1), wrong, wrong, record(2), wrong):
        memory.put(content)
    assert numbers(ring) == [1, 2]
    assert (ring.decoded, ring.undecodable) == (2, 4)
    assert memory.consumed == memory.produced


def test_full_ring_is_drained_whole_and_says_how_full_it_was(memory: RingMemory, ring: RingBuffer) -> None:
    memory.start_at(memory.size // 2)
    put = 0
    while memory.put(record(put)):
        put += 1
    assert numbers(ring) == list(range(put))
    assert ring.fill > 1 - 32 / memory.size
    assert numbers(ring) == []
    assert ring.fill == 0.0


def test_ring_with_more_than_one_run_keeps_its_order() -> None:
    with closing(RingMemory(1 << 18)) as memory, closing(RingBuffer(memory.descriptor, memory.size, RECORD)) as ring:
        count = 0
        while memory.put(record(count)):
            count += 1
        assert count > 8192
        assert numbers(ring) == list(range(count))


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "wrong", "discard", "reserve", "finish", "drain"]), st.integers(0, 90)), max_size=80
)


@given(start=st.integers(0, 10).map(lambda units: units * 8 + 4096 * 3), steps=STEPS)
def test_any_sequence_of_records_comes_out_exactly_once_in_order(start: int, steps: list[Step]) -> None:
    with closing(RingMemory()) as memory, closing(RingBuffer(memory.descriptor, memory.size, RECORD)) as ring:
        memory.start_at(start)
        wanted, came, wrong = [], [], 0
        unfinished: dict[int, int] = {}
        for number, (action, amount) in enumerate([*steps, ("finish", 1000), ("drain", 0)]):
            if action == "drain":
                came += numbers(ring)
            elif action == "finish":
                for begun in list(unfinished)[: amount + 1]:
                    memory.submit(begun, record(unfinished.pop(begun)))
            elif action == "reserve":
                position = memory.reserve(RECORD.itemsize)
                if position is not None:
                    unfinished[position] = number
                    wanted.append(number)
            elif action == "wrong":
                wrong += memory.put(bytes(amount + 13))
            elif memory.put(record(number), discard=action == "discard") and action == "put":
                wanted.append(number)
        assert came == wanted
        assert (ring.decoded, ring.undecodable) == (len(wanted), wrong)
        assert memory.consumed == memory.produced


def test_a_ring_that_wakes_nobody_presses_with_what_was_in_it(memory: RingMemory, ring: RingBuffer) -> None:
    for number in range(85):
        memory.put(record(number))
    ring.drain()
    assert ring.pressure == ring.fill > 0.49
    assert ring.descriptors == []


def test_a_ring_that_wakes_its_reader_presses_with_what_had_to_stay(memory: RingMemory) -> None:
    with closing(RingBuffer(memory.descriptor, memory.size, RECORD, wakes=True)) as ring:
        assert ring.descriptors == [memory.descriptor]
        for number in range(85):
            memory.put(record(number))
        ring.drain()
        assert (ring.fill > 0.49, ring.pressure) == (True, 0.0)
        busy = memory.reserve(RECORD.itemsize)
        assert busy is not None
        for number in range(84):
            memory.put(record(number))
        ring.drain()
        assert ring.pressure == ring.fill > 0.49
        memory.submit(busy, record(0))
