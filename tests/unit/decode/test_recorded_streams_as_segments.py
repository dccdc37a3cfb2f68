"""Real conversations of every protocol, sent through TCP once more: the same requests as when their parser is fed directly."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from conversation_script import Script
from http_samples import read_samples
from recorded_streams import DATA, read_connections
from tcp_talk import SERVER, Talk, run

from collector.decode.protocol_table import PROTOCOLS
from collector.decode.request import Request, Side
from collector.decode.tcp_streams import StreamSegment, TcpStreams

Told = tuple[str, str, str, str, str, int, int]
STARTS = {protocol.name: protocol.start for protocol in PROTOCOLS}
CONNECTIONS: dict[str, tuple[str, Script]] = {
    f"{sample.name}-{number}": (sample.make().__class__.__name__.removesuffix("Conversation").lower(), script)
    for sample in read_samples()
    for number, script in enumerate(sample.connections)
} | {
    f"{protocol}-{path.stem}-{number}": (protocol, [(side, data) for side, _, data in chunks])
    for protocol in ("postgresql", "mysql", "redis")
    for path in sorted((DATA / protocol).glob("*.json"))
    for number, chunks in enumerate(read_connections(protocol, path.stem))
}  # fmt: skip

# A replica asks "PSYNC ? -1" as a plain line, which other protocols could begin with too.
NEVER_CERTAIN = {"redis-drivers-11"}


def told(request: Request) -> Told:
    sizes = request.request_bytes, request.response_bytes
    return (request.protocol, request.operation, request.resource, request.status, request.outcome.value, *sizes)


def directly(protocol: str, script: Script) -> Counter[Told]:
    conversation = STARTS["http" if protocol == "http1" else protocol]()
    found = [one for side, data in script if isinstance(data, bytes) for one in conversation.feed(side, data, 1)]
    return Counter(map(told, [*found, *conversation.end(1)]))


def segments_of(script: Script) -> Talk:
    talk = Talk().open()
    for side, data in script:
        assert isinstance(data, bytes)
        talk.send(int(side), data)
    return talk.close()


def disturbed(segments: Sequence[StreamSegment], seed: int) -> list[StreamSegment]:
    """Neighbours of one direction in the wrong order, and some segments twice."""
    chance = random.Random(seed)
    order = list(segments)
    for first, second in pairwise(range(3, len(order) - 3)):
        same = order[first].source == order[second].source
        if same and chance.random() < 0.3:
            order[first], order[second] = order[second], order[first]
    return [one for segment in order for one in [segment] * chance.choice([1, 1, 1, 2])]


@pytest.mark.parametrize("name", CONNECTIONS)
def test_connection_of_a_real_client_gives_the_same_requests(name: str) -> None:
    protocol, script = CONNECTIONS[name]
    segments = segments_of(script).segments
    wanted = directly(protocol, script)
    for order in (segments, disturbed(segments, 1), disturbed(segments, 2)):
        streams = TcpStreams()
        found = run(order, streams, ended=False)
        assert Counter(told(one.request) for one in found) == (Counter() if name in NEVER_CERTAIN else wanted)
        assert streams.counters()["unrecognised_connections"] == (name in NEVER_CERTAIN)
        assert all(one.server == SERVER for one in found)


@pytest.mark.parametrize("name", CONNECTIONS)
def test_connection_joined_midway_never_turns_client_and_server_around(name: str) -> None:
    _, script = CONNECTIONS[name]
    segments = segments_of(script).segments
    for start in (3, len(segments) // 3, len(segments) // 2):
        assert all(one.server == SERVER for one in run(segments[start:]))


def test_sides_are_as_the_recordings_number_them() -> None:
    assert (int(Side.CLIENT), int(Side.SERVER)) == (0, 1)
    assert len(CONNECTIONS) > 20
