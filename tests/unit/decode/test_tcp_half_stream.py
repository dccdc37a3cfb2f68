"""Segments in any order, twice, overlapping or cut give the bytes that a plain model gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode import tcp_half_stream
from collector.decode.tcp_half_stream import HOLE_MAX, LOST, HalfStream, Run, StreamBooks

WHOLE = bytes(range(256)) * 4
FIRSTS = st.sampled_from([0, 1, 77, 2**31 - 300, 2**31 - 1, 2**32 - 500, 2**32 - 256, 2**32 - 1])
Cut = tuple[int, int]


def begin(first: int = 0) -> tuple[HalfStream, StreamBooks]:
    books = StreamBooks()
    half = HalfStream(books)
    half.add(first % 2**32, b"", 0)
    return half, books


def add(half: HalfStream, first: int, start: int, data: bytes, size: int = -1) -> list[Run]:
    return half.add((first + start) % 2**32, data, len(data) if size < 0 else size)


def join(runs: list[Run]) -> bytes:
    assert all(run.unseen >= 0 for run in runs)
    return b"".join(run.data + b"?" * run.unseen for run in runs)


@settings(max_examples=500, deadline=None)
@given(first=FIRSTS, data=st.data())
def test_any_order_gives_the_same_bytes(first: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(WHOLE)))
    inner = data.draw(st.lists(st.integers(0, size), max_size=12))
    edges = sorted({0, size, *inner})
    cuts = list(pairwise(edges))
    for start in data.draw(st.lists(st.integers(0, size - 1), max_size=8)):
        cuts.append((start, min(size, start + data.draw(st.integers(1, 200)))))
    half, books = begin(first)
    runs: list[Run] = []
    for start, end in data.draw(st.permutations(cuts)):
        runs += add(half, first, start, WHOLE[start:end])
    assert join(runs) == WHOLE[:size]
    assert books.held_bytes == 0
    assert books.counts["retransmitted_bytes"] == sum(end - start for start, end in cuts) - size


def model(cuts: list[tuple[int, bytes]], size: int) -> list[int]:
    """Byte by byte: who came first wins. -1: nobody said it."""
    known = [-1] * size
    for start, data in cuts:
        for offset, byte in enumerate(data):
            if known[start + offset] < 0:
                known[start + offset] = byte
    return known


@settings(max_examples=500, deadline=None)
@given(first=FIRSTS, data=st.data())
def test_contradicting_segments_and_holes_are_as_in_the_model(first: int, data: st.DataObject) -> None:
    size = 60
    cuts = []
    for _ in range(data.draw(st.integers(0, 12))):
        start = data.draw(st.integers(0, size - 1))
        cuts.append((start, data.draw(st.binary(min_size=1, max_size=size - start))))
    half, books = begin(first)
    runs = [run for start, content in cuts for run in add(half, first, start, content)]
    runs += half.acknowledge((first + size) % 2**32)
    found = [byte for run in runs for byte in [*run.data, *[-1] * run.unseen]]
    assert found == model(cuts, size)
    assert books.held_bytes == 0
    assert books.counts["hole_bytes"] == found.count(-1)


def test_what_was_not_captured_of_a_segment_is_unseen() -> None:
    half, books = begin()
    assert add(half, 0, 0, b"abc", 5) == [Run(b"abc", 2)]
    assert add(half, 0, 3, b"de") == []
    assert add(half, 0, 4, b"efg", 6) == [Run(b"fg", 3)]
    assert books.counts["cut_bytes"] == 5


def test_hole_is_passed_over_when_it_was_acknowledged() -> None:
    half, _ = begin()
    assert add(half, 0, 10, b"later") == []
    assert half.acknowledge(10) == [Run(b"", 10), Run(b"later", 0)]
    assert half.acknowledge(20) == [Run(b"", 5)]
    assert half.acknowledge(12) == []


def test_hole_is_passed_over_only_as_far_as_it_was_acknowledged() -> None:
    half, _ = begin()
    add(half, 0, 10, b"later")
    assert half.acknowledge(4) == [Run(b"", 4)]
    assert add(half, 0, 4, b"middle") == [Run(b"middle", 0), Run(b"later", 0)]


def test_keepalive_probe_is_no_data() -> None:
    half, _ = begin(100)
    add(half, 100, 0, b"abc")
    assert half.add(102, b"\0", 1) == []
    assert half.add(102, b"", 0) == []
    assert add(half, 100, 3, b"d") == [Run(b"d", 0)]


def test_acknowledged_end_is_no_hole() -> None:
    half, _ = begin(100)
    add(half, 100, 0, b"abc")
    half.finish(103)
    assert half.ended
    assert half.acknowledge(104) == []


def test_end_before_a_hole_waits_for_it() -> None:
    half, _ = begin()
    add(half, 0, 2, b"c")
    half.finish(3)
    assert not half.ended
    add(half, 0, 0, b"ab")
    assert half.ended


@pytest.mark.parametrize("jump", [HOLE_MAX + 1, -HOLE_MAX - 1, 2**31 - 1])
def test_jump_beyond_any_window_begins_anew(jump: int) -> None:
    half, books = begin(2**20)
    add(half, 2**20, 0, b"abc")
    add(half, 2**20, 5, b"held")
    assert add(half, 2**20, 3 + jump, b"new") == [Run(b"", LOST), Run(b"new", 0)]
    assert add(half, 2**20, 6 + jump, b"er") == [Run(b"er", 0)]
    assert (books.held_bytes, books.counts["restarted_streams"]) == (0, 1)


def test_acknowledgement_beyond_any_window_begins_anew() -> None:
    half, _ = begin()
    assert half.acknowledge(HOLE_MAX + 5) == [Run(b"", LOST)]
    assert add(half, 0, HOLE_MAX + 5, b"x") == [Run(b"x", 0)]


def test_acknowledgement_before_the_first_segment_says_nothing() -> None:
    half = HalfStream(StreamBooks())
    assert half.acknowledge(5000) == []
    assert half.add(9, b"x", 1) == [Run(b"x", 0)]


def test_too_much_behind_a_hole_passes_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    half, books = begin()
    runs = [run for place in range(2000) for run in add(half, 0, 2 * place + 1, b"x")]
    assert books.held_bytes <= tcp_half_stream.HELD_PIECES_MAX
    assert Run(b"", 1) in runs
    monkeypatch.setattr(tcp_half_stream, "HELD_BYTES_OF_ALL", 100)
    other = HalfStream(books)
    other.add(0, b"", 0)
    assert other.add(5, b"y" * 200, 200) == [Run(b"", 5), Run(b"y" * 200, 0)]


def test_one_direction_holds_no_more_than_its_share() -> None:
    half, books = begin()
    for place in range(400):
        add(half, 0, 1 + place * 8192, bytes(8192))
        assert books.held_bytes <= tcp_half_stream.HELD_BYTES_MAX
    assert books.counts["holes"] == 1


def test_flush_gives_what_waits() -> None:
    half, books = begin()
    add(half, 0, 1, b"b")
    add(half, 0, 3, b"d")
    assert join(half.flush()) == b"?b?d"
    assert books.held_bytes == 0
