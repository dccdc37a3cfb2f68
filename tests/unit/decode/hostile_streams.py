"""Valid streams made hostile: bytes changed, lost, doubled, unseen. Nothing may be raised, and memory stays bounded."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from collector.decode.request import Conversation, Evidence, Outcome, Request, Side

SECONDS = float(os.environ.get("HONEYGUIDE_FUZZ_SECONDS", "2"))
LARGEST = 5_000_000  # bytes of one conversation's state, far above what valid streams need
Step = tuple[Side, bytes]


def fuzz(make: Callable[[], Conversation], streams: Sequence[Sequence[Step]]) -> int:
    """Runs as many changed streams as there is time for (HONEYGUIDE_FUZZ_SECONDS); how many requests came out."""
    seed = random.randrange(1 << 32)
    requests = 0
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        seed += 1
        try:
            requests += run_changed(make, streams, random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    return requests


def run_changed(make: Callable[[], Conversation], streams: Sequence[Sequence[Step]], chance: random.Random) -> int:
    conversation = make()
    requests: list[Request] = []
    steps = list(chance.choice(streams))
    start = chance.randrange(len(steps)) if chance.random() < 0.3 else 0
    for at, (side, data) in enumerate(steps[start:], start=1):
        for piece in _change(data, chance):
            other = Side(1 - side) if chance.random() < 0.01 else side
            if isinstance(piece, bytes):
                requests += conversation.feed(other, piece, at)
            elif piece:
                requests += conversation.skip(other, piece, at)
            else:
                conversation.lose(other)
    if chance.random() < 0.1:
        size = measure(conversation)
        assert size < LARGEST, f"{size} bytes"
    requests += conversation.end(len(steps))
    assert all(isinstance(request, Request) and request.started_at >= 0 for request in requests)
    return len(requests)


def read_heads(module: Any, streams: Sequence[Sequence[Step]]) -> None:
    """Recognises and reads the heads of every piece of every step, also of changed ones; nothing may be raised."""
    chance = random.Random(5)
    pieces = [data[:end] for stream in streams for _, data in stream for end in range(min(len(data), 70))]
    pieces += [bytes(chance.choice((byte, 0, 255)) if chance.random() < 0.1 else byte for byte in piece) for piece in pieces]
    pieces += [chance.randbytes(chance.randrange(80)) for _ in range(2000)]
    for piece in pieces:
        for side in Side:
            assert module.recognise(side, piece) in Evidence
        request, response = module.read_request_head(piece), module.read_response_head(piece)
        assert request is None or isinstance(request.operation, str)
        assert response is None or response.outcome in Outcome


def _change(data: bytes, chance: random.Random) -> list[bytes | int]:
    """The data, or changed data in pieces; numbers are bytes that are not seen, 0 for a loss."""
    kind = chance.randrange(24)
    at = chance.randrange(len(data) + 1)
    if kind == 0:
        return [data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]]
    if kind == 1:
        return [data[:at], len(data) - at]
    if kind == 2:
        return [data[:at], 0, data[min(at + chance.randrange(20), len(data)) :]]
    if kind == 3:
        return [data, data[at:]]
    if kind == 4:
        return [data[at:] + data[:at]]
    if kind == 5:
        return [chance.randbytes(chance.randrange(40))]
    if kind == 6:
        return [data[:at], chance.choice((1, 5, 1000, 1 << 40)), data[at:]]
    if kind == 7:
        return [data[:at], data[at:]]
    return [data] if data else []


def measure(thing: Any, seen: set[int] | None = None) -> int:
    """Bytes of an object and everything that only it refers to; what all conversations share is left out."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (type, int, float)) or callable(thing) or type(thing).__name__ == "StatementReader":
        return 0
    seen.add(id(thing))
    size = int(thing.__sizeof__())
    if isinstance(thing, dict):
        return size + sum(measure(key, seen) + measure(value, seen) for key, value in thing.items())
    if isinstance(thing, (list, tuple, set, frozenset)) or type(thing).__name__ == "deque":
        return size + sum(measure(item, seen) for item in thing)
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    values = [getattr(thing, name) for name in slots if hasattr(thing, name)] + list(getattr(thing, "__dict__", {}).values())
    return size + sum(measure(value, seen) for value in values)
