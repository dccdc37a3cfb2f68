"""Messages out of TCP segments: in pieces, in the wrong order, twice, with holes."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.dns_streams import (
    EARLY_PIECES_MAX,
    MESSAGE_BYTES_MAX,
    SEQUENCES,
    SHORTEST_MESSAGE,
    STREAMS_MAX,
    Piece,
    StreamTable,
)

KEY = b"connection"
MESSAGES = st.lists(st.binary(min_size=SHORTEST_MESSAGE, max_size=200), min_size=1, max_size=8)


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def pieces(content: bytes, start: int, *cuts: int) -> list[Piece]:
    """The content cut at these places, numbered from `start`."""
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    return [Piece((start + begin) % SEQUENCES, end - begin, content[begin:end]) for begin, end in pairwise(places) if end > begin]


def feed(table: StreamTable, *received: Piece) -> list[bytes]:
    return [message for piece in received for message in table.add(KEY, piece)]


@given(MESSAGES, st.integers(0, SEQUENCES - 1), st.lists(st.integers(0, 1600), max_size=8))
def test_messages_come_out_whole_wherever_segments_are_cut(messages: list[bytes], start: int, cuts: list[int]) -> None:
    table = StreamTable()
    assert feed(table, *pieces(framed(*messages), start, *cuts)) == messages
    assert (table.lost, table.forgotten) == (0, 0)


@given(MESSAGES, st.integers(0, SEQUENCES - 1), st.lists(st.integers(0, 1600), max_size=6), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(messages: list[bytes], start: int, cuts: list[int], chance: random.Random) -> None:
    first, *others = pieces(framed(*messages), start, *cuts)
    repeated = [*others, *others[:2]]
    chance.shuffle(repeated)
    table = StreamTable()
    assert feed(table, first, *repeated) == messages
    assert table.lost == 0


def test_segment_sent_again_with_more_in_it_gives_only_what_is_new() -> None:
    content = framed(b"a" * 20, b"b" * 20)
    table = StreamTable()
    assert feed(table, Piece(100, 30, content[:30]), Piece(110, 34, content[10:])) == [b"a" * 20, b"b" * 20]


def test_hole_inside_a_message_gives_its_start_and_goes_on_behind_it() -> None:
    content = framed(b"a" * 1000, b"b" * 20)
    table = StreamTable()
    assert feed(table, Piece(0, 900, content[:512]), Piece(900, 124, content[900:])) == [b"a" * 510, b"b" * 20]
    assert table.lost == 0


def test_hole_over_a_boundary_starts_again_with_the_next_segment() -> None:
    content = framed(b"a" * 1000, b"b" * 20)
    table = StreamTable()
    assert feed(table, Piece(0, len(content), content[:512])) == [b"a" * 510]
    assert table.lost == 1
    assert feed(table, Piece(len(content), 22, framed(b"c" * 20))) == [b"c" * 20]


def test_missing_segment_is_given_up_when_too_many_wait_for_it() -> None:
    table = StreamTable()
    message = framed(b"m" * 20)
    feed(table, Piece(0, len(message), message))
    waiting = [Piece(1000 + len(message) * number, len(message), message) for number in range(EARLY_PIECES_MAX + 1)]
    assert feed(table, *waiting) == [b"m" * 20] * len(waiting)
    assert table.lost == 1


def test_long_message_is_collected_up_to_the_limit_and_the_rest_stepped_over() -> None:
    content = framed(b"a" * 60_000, b"b" * 20)
    table = StreamTable()
    found = feed(table, *pieces(content, 7, *range(500, len(content), 500)))
    assert [message[:1] for message in found] == [b"a", b"b"]
    assert MESSAGE_BYTES_MAX - 2 <= len(found[0]) < MESSAGE_BYTES_MAX + 500


@pytest.mark.parametrize("size", range(SHORTEST_MESSAGE))
def test_length_that_no_message_has_starts_again_with_the_next_segment(size: int) -> None:
    table = StreamTable()
    assert feed(table, Piece(0, 40, size.to_bytes(2, "big") + bytes(38))) == []
    assert table.lost == 1
    assert feed(table, Piece(40, 22, framed(b"c" * 20))) == [b"c" * 20]


def test_stream_longest_unused_is_forgotten_and_counted() -> None:
    table = StreamTable()
    for number in range(STREAMS_MAX + 3):
        table.add(number.to_bytes(4, "big"), Piece(0, 3, b"\0\x20x"))
    assert table.forgotten == 3


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 600), st.binary(max_size=600)), max_size=40))
def test_any_pieces_keep_the_table_small(received: list[tuple[int, int, bytes]]) -> None:
    table = StreamTable()
    for sequence, beyond, content in received:
        table.add(KEY, Piece(sequence, len(content) + beyond, content))
    stream = table._streams.get(KEY)
    if stream:
        assert len(stream.early) <= EARLY_PIECES_MAX
        assert len(stream.buffer) < MESSAGE_BYTES_MAX + 600
