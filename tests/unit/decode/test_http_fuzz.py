"""Damaged conversations: never an exception, the same requests for every cut, bounded memory.

Two seconds for each protocol; HONEYGUIDE_FUZZ_SECONDS=600 runs longer, HONEYGUIDE_FUZZ_SEED=N another part of the cases.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest
from conversation_script import Script, Step, cut_at_random, run, run_timed
from http2_wire import PING_FRAME, PREFACE, SETTINGS_ACK, WINDOW, frame
from http_samples import read_samples
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.protocols import http1, http2
from collector.decode.protocols.http1 import Http1Conversation
from collector.decode.protocols.http2 import Http2Conversation
from collector.decode.request import Conversation, Request, Side

SECONDS = float(os.environ.get("HONEYGUIDE_FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("HONEYGUIDE_FUZZ_SEED", "0")) * 1_000_000_000
PIECE_MAX = 700  # of a sample, so that many cases are tried
HEAD_LIMIT = 600
BUFFER_MAX = 3 * 16_384 + HEAD_LIMIT
HTTP1_WORDS = [
    b"\r\n", b"\n", b"\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b" ", b"\0", b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.1 100 X\r\n\r\n", b"0\r\n\r\n", b"\xff", PREFACE,
    b"Expect: 100-continue\r\n", b"HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n", b"5;x\r\nhello\r\n",
]  # fmt: skip
HTTP2_WORDS = [
    WINDOW, SETTINGS_ACK, PING_FRAME, frame(3, 0, 1, b"\0\0\0\x08"), frame(7, 0, 0, b"\0\0\0\1\0\0\0\0"), b"\0", b"\xff", PREFACE,
    frame(1, 5, 1, b"\x82\x86\x84"), frame(9, 4, 1, b"\x82"), frame(0, 8, 1, b"\xff12"), frame(1, 0x2C, 3, b"\x09ab"),
    b"\x3f\xe1\x1f", frame(1, 4, 0x7FFFFFFF, b"\x82"), frame(5, 4, 1, b"\0\0\0\2\x82"), frame(0, 1, 1, b""),
    frame(1, 5, 1, b"\x88"),
]  # fmt: skip
CASES: list[tuple[Callable[[], Conversation], list[bytes]]] = [
    (lambda: Http1Conversation(head_limit=HEAD_LIMIT), HTTP1_WORDS),
    (lambda: Http2Conversation(head_limit=HEAD_LIMIT), HTTP2_WORDS),
]
protocols = pytest.mark.parametrize(("make", "words"), CASES, ids=["http1", "http2"])


def scripts_of(make: Callable[[], Conversation]) -> list[Script]:
    """The samples of this protocol, their steps shortened."""
    kind = type(make())
    return [
        [(side, piece[:PIECE_MAX]) for side, piece in script[:30] if isinstance(piece, bytes)]
        for sample in read_samples()
        if sample.make is kind
        for script in sample.connections
    ]


def damage(script: Script, words: list[bytes], chance: random.Random) -> list[Step]:
    damaged: list[Step] = []
    start = chance.choice((0, 0, chance.randrange(len(script))))
    for side, what in script[start : start + chance.randrange(1, 12)]:
        assert isinstance(what, bytes)
        piece = bytearray(what)
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
            damage_piece(piece, words, chance)
        damaged.append((side, bytes(piece)))
        if chance.random() < 0.1:
            damaged.append((chance.choice(tuple(Side)), chance.choice((1, 2, 5, 100))))
        if chance.random() < 0.1:
            damaged.append(chance.choice(script))
    return damaged


def damage_piece(piece: bytearray, words: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(piece) + 1)
    kind = chance.randrange(5)
    if kind == 0:
        piece[at:at] = chance.choice(words)
    elif kind == 1:
        del piece[at : at + chance.randrange(1, 9)]
    elif kind == 2 and at < len(piece):
        piece[at] = chance.randrange(256)
    elif kind == 3:
        piece[at:at] = piece[: chance.randrange(len(piece) + 1)][-40:]
    else:
        del piece[at:]


@protocols
def test_lost_pieces_and_random_bytes_hurt_nothing(make: Callable[[], Conversation], words: list[bytes]) -> None:
    scripts = scripts_of(make)
    end, case = time.monotonic() + SECONDS, SEED
    while time.monotonic() < end:
        chance = random.Random(case)
        conversation = make()
        requests: list[Request] = []
        for number, (side, what) in enumerate(damage(chance.choice(scripts), words, chance)):
            if chance.random() < 0.2:
                conversation.lose(chance.choice(tuple(Side)))
            piece = chance.randbytes(chance.randrange(300)) if chance.random() < 0.1 else what
            requests += (
                conversation.feed(side, piece, number) if isinstance(piece, bytes) else conversation.skip(side, piece, number)
            )
            assert buffered(conversation) <= BUFFER_MAX, f"case {case}"
        requests += conversation.end(10_000)
        assert all(one.operation.isascii() and len(one.resource) <= 2048 for one in requests), f"case {case}"
        case += 1


def buffered(conversation: Conversation) -> int:
    """Bytes that it keeps."""
    if isinstance(conversation, Http2Conversation):
        return sum(
            len(reader._buffer) + len((reader._headers and reader._headers.content) or b"") for reader in conversation._readers
        )
    assert isinstance(conversation, Http1Conversation)
    inner = conversation._successor
    kept = len(conversation._client.buffer) + len(conversation._server.buffer)
    return kept + (buffered(inner) if isinstance(inner, Http2Conversation) else 0)


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=60) | st.integers(0, 99)), max_size=12), st.integers(0, 99))
def test_any_bytes_give_the_same_for_every_cut(script: list[Step], seed: int) -> None:
    for make, _ in CASES:
        assert run_timed(make, cut_at_random(script, seed)) == run(make, script)


@given(st.binary(max_size=400), st.sampled_from(Side), st.integers(0, 400))
def test_evidence_never_changes_its_mind(data: bytes, side: Side, size: int) -> None:
    for module in (http1, http2):
        if module.recognise(side, data[:size]) != module.recognise(side, b""):
            assert module.recognise(side, data) is module.recognise(side, data[:size])


@given(st.binary(min_size=64, max_size=2000))
def test_random_bytes_are_no_protocol(data: bytes) -> None:
    for module in (http1, http2):
        for side in Side:
            assert module.recognise(side, data).name != "YES"
