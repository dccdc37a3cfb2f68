from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.source.perf_records import parse_records, record_layout, unwrap

ROW = np.dtype([("number", "<u8"), ("small", "<u2")])  # 10 bytes: 24 in a record
LAYOUT = record_layout(ROW)


def sample(number: int) -> bytes:
    """As perf_prepare_sample and perf_output_sample write it: the inner size includes the rounding."""
    payload = np.array((number, 7), ROW).tobytes()
    return struct.pack("<IHHI", 9, 1, 24, 12) + payload + bytes(2)


def other(kind: int, size: int, body: bytes = b"") -> bytes:
    return struct.pack("<IHH", kind, 0, size) + body


LOST = other(2, 24, struct.pack("<QQ", 1, 5000))


def parse(content: bytes) -> tuple[list[int], int]:
    rows, undecodable, _ = parse_records(content, LAYOUT)
    assert rows.dtype == ROW
    return [int(number) for number in rows["number"]], undecodable


def test_nothing_is_no_rows() -> None:
    assert parse(b"") == ([], 0)


def test_samples_come_out_in_order() -> None:
    assert parse(b"".join(map(sample, range(20)))) == (list(range(20)), 0)


def test_rows_behind_the_longest_run_come_out_too() -> None:
    assert parse(b"".join(map(sample, range(9000)))) == (list(range(9000)), 0)


def test_lost_records_in_between_are_not_counted_again() -> None:
    assert parse(LOST + sample(1) + LOST + LOST + sample(2) + LOST) == ([1, 2], 0)


def test_sample_of_another_size_is_undecodable_and_stepped_over() -> None:
    assert parse(sample(1) + other(9, 16, bytes(8)) + sample(2) + other(9, 40, bytes(32)) + sample(3)) == ([1, 2, 3], 2)


def test_record_of_a_kind_we_did_not_ask_for_is_undecodable() -> None:
    assert parse(other(1, 24, bytes(16)) + sample(1)) == ([1], 1)


def test_odd_size_is_rounded_up_as_the_kernel_rounds() -> None:
    assert parse(other(9, 13, bytes(8)) + sample(1)) == ([1], 1)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_size_too_small_for_a_header_does_not_loop_for_ever(size: int) -> None:
    assert parse(other(9, size) * 3 + sample(1)) == ([1], 3)


def test_record_cut_short_is_undecodable() -> None:
    assert parse(sample(1) + sample(2)[:-8]) == ([1], 1)
    assert parse(sample(1) + sample(2)[:4]) == ([1], 0)


PIECES = st.lists(
    st.one_of(st.integers(0, 1 << 60), st.sampled_from([LOST, other(9, 32, bytes(24)), other(9, 8), other(4, 16, bytes(8))]))
)


@given(PIECES, st.integers(0, 4096))
def test_any_mixture_gives_each_sample_once_in_order_wherever_it_wraps(pieces: list[int | bytes], turn: int) -> None:
    content = b"".join(sample(piece) if isinstance(piece, int) else piece for piece in pieces)
    size = 1 << max(len(content) - 1, 8).bit_length()
    turned = turn // 8 * 8 % size
    area = (bytes(turned) + content)[:size].ljust(size, b"\0")
    area = content[size - turned :] + area[len(content[size - turned :]) :]
    assert unwrap(b"control " + area, 8, size, 5 * size + turned, 5 * size + turned + len(content)) == content
    wrong = sum(1 for piece in pieces if isinstance(piece, bytes) and piece is not LOST)
    assert parse(content) == ([piece for piece in pieces if isinstance(piece, int)], wrong)


@given(st.binary(max_size=400))
@example(bytes(400))
@example(b"\xff" * 400)
def test_any_bytes_end(content: bytes) -> None:
    rows, undecodable, _ = parse_records(content, LAYOUT)
    assert len(rows) + undecodable <= len(content) // 8
