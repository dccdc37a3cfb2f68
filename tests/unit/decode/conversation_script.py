"""Runs a conversation from a script, whole or cut into pieces."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from collector.decode.request import Conversation, Request, Side

C, S = Side.CLIENT, Side.SERVER

# (side, bytes that are seen | number of bytes that are not). Its place in the script + 1 is its time.
Step = tuple[Side, bytes | int]
Script = Sequence[Step]
Timed = tuple[Side, bytes | int, int]


def run(make: Callable[[], Conversation], script: Script) -> tuple[list[Request], dict[str, int]]:
    """(requests, what was discarded), the connection closed at the end."""
    return run_timed(make, ((side, what, time + 1) for time, (side, what) in enumerate(script)))


def run_timed(make: Callable[[], Conversation], steps: Iterable[Timed]) -> tuple[list[Request], dict[str, int]]:
    conversation = make()
    requests: list[Request] = []
    last = 0
    for side, what, time in steps:
        requests += conversation.feed(side, what, time) if isinstance(what, bytes) else conversation.skip(side, what, time)
        last = time
    requests += conversation.end(last + 1)
    return requests, conversation.discarded


def cut_everywhere(script: Script) -> list[Timed]:
    """Byte by byte."""
    return [
        (side, piece, time + 1)
        for time, (side, what) in enumerate(script)
        for piece in ([what[at : at + 1] for at in range(len(what))] if isinstance(what, bytes) else [1] * what)
    ]


def cut_at_random(script: Script, seed: int, pieces: int = 4) -> list[Timed]:
    """Every step in up to `pieces` pieces, the times unchanged."""
    chance = random.Random(seed)
    steps: list[Timed] = []
    for time, (side, what) in enumerate(script):
        size = len(what) if isinstance(what, bytes) else what
        cuts = sorted({0, size, *(chance.randrange(size + 1) for _ in range(chance.randrange(pieces)))})
        for start, end in pairwise(cuts):
            steps.append((side, what[start:end] if isinstance(what, bytes) else end - start, time + 1))
    return steps


def assert_same_for_every_cut(
    make: Callable[[], Conversation], script: Script, seeds: Iterable[int] = range(30)
) -> list[Request]:
    """The requests of the script, which do not depend on how it is cut."""
    whole, discarded = run(make, script)
    assert run_timed(make, cut_everywhere(script)) == (whole, discarded)
    for seed in seeds:
        assert run_timed(make, cut_at_random(script, seed)) == (whole, discarded), f"seed {seed}"
    return whole
