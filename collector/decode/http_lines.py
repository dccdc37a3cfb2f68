"""The first lines of HTTP/1 messages a batch at a time: eight bytes are looked at together, no Python runs for a row."""

from __future__ import annotations

import numpy as np

from collector.batch import Column
from collector.decode.head_words import view_words
from collector.row_hash import MULTIPLIER, SHIFT, hash_rows

# Eight bytes at a time, little-endian as both supported machines are.
RETURNS, ONES, HIGH_BITS = np.uint64(0x0D0D0D0D0D0D0D0D), np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
ALL_BITS, SEVEN_BYTES = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x00FFFFFFFFFFFFFF)
HTTP_1 = np.uint64(int.from_bytes(b"HTTP/1.", "little"))
ZERO = 48
STATUS_AT = 9  # "HTTP/1.1 200"
LONGEST_STATUS = 600


def hash_lines(heads: Column, captured: Column) -> tuple[Column, Column]:
    """(uint64 key, where it ends) of the first line of each head, uint8 (n, width): at its carriage return, or where the
    capture ends. Looks at eight bytes at a time and no further than lines go.
    """
    words = view_words(heads, heads.shape[1] // 8)
    keys, ends = np.zeros(len(heads), np.uint64), np.full(len(heads), heads.shape[1])
    rows = np.arange(len(heads))  # whose line goes on
    for place in range(words.shape[1]):
        whole = len(rows) == len(heads)
        word = words[:, place] if whole else words[rows, place]
        below = bits_before_return(word)
        mixed = mix(keys if whole else keys[rows], word & below)
        keys[rows] = mixed
        found = below != ALL_BITS
        if found.any():
            ends[rows[found]] = 8 * place + np.bitwise_count(below[found]) // 8
            rows = rows[~found]
            if not len(rows):
                break
    cut = np.flatnonzero(ends > captured)
    if len(cut):  # what lies behind the capture is of an earlier request
        ends[cut] = captured[cut]
        keys[cut] = hash_rows([np.where(np.arange(heads.shape[1]) < ends[cut, None], heads[cut], np.uint8(0))], seed=1)
    return keys ^ (ends.astype(np.uint64) * MULTIPLIER), ends  # a line that ends in zeros is another than one without them


def bits_before_return(words: Column) -> Column:
    """Ones for all bytes before the first carriage return, all ones where there is none.

    The lowest bit set by the test for a zero byte is that of the first one ("Hacker's Delight", 6-1).
    """
    differs = words ^ RETURNS
    returns = (differs - ONES) & ~differs & HIGH_BITS
    lowest: Column = returns & (~returns + np.uint64(1))
    return (lowest >> np.uint64(7)) - np.uint64(1)


def mix(keys: Column, words: Column) -> Column:
    """keys with one more word each; order counts."""
    mixed: Column = (keys ^ words) * MULTIPLIER
    mixed ^= mixed >> SHIFT
    return mixed


def read_statuses(heads: Column, captured: Column) -> Column:
    """The three digits of each status line, int64 (n,), 0 where there is none or no such status."""
    words = view_words(heads, 2)
    begin, rest = words[:, 0] & SEVEN_BYTES, words[:, 1]
    status = np.zeros(len(heads), np.int64)
    readable = (begin == HTTP_1) & (captured >= STATUS_AT + 3)
    for position in range(STATUS_AT - 8, STATUS_AT - 5):
        digit = ((rest >> np.uint64(8 * position)) & np.uint64(0xFF)).astype(np.int64) - ZERO
        readable &= (digit >= 0) & (digit <= 9)
        status = status * 10 + digit
    status[~readable | (status < 100) | (status >= LONGEST_STATUS)] = 0
    return status
