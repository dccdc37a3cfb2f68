"""What a small node lowers bounds the tables in the process too, and what no longer has room is counted."""

from __future__ import annotations

from decode.exchange_rows import exchange_batch, exchange_row

from collector.clock import FixedClock
from collector.decode.exchanges import ExchangeDecoder
from collector.node import Node
from collector.node_building import build_node
from collector.settings import Settings
from collector.source.replay_source import ReplaySource


def node_with(**settings: int) -> Node:
    return build_node(Settings.model_validate(settings), FixedClock(0), ReplaySource(None), {})  # type: ignore[arg-type]


def test_names_of_addresses_are_as_many_as_connections() -> None:
    node = node_with(max_connections=1024)
    for number in range(1500):
        node.pipeline.rooms.names.learn(bytes(12) + number.to_bytes(4), "some.test", 1, 60)
    assert len(node.pipeline.rooms.names) == 1024
    assert node.peers.counters()["names_evicted"] == 1500 - 1024


def test_series_of_gone_pods_follow_the_limit_of_series_and_never_exceed_the_usual() -> None:
    assert node_with(max_series=50).sweep.retired.maximum == 500
    assert node_with(max_series=100_000).sweep.retired.maximum == node_with().sweep.retired.maximum == 20_000


def test_so_are_connections_with_a_known_protocol() -> None:
    decoder = ExchangeDecoder(**node_with(max_connections=1024).pipeline.decoder_options["exchanges"])
    asked, answered = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
    decoder.decode(exchange_batch(*(exchange_row(asked, answered, flow=flow) for flow in range(1, 1101))))
    decoder.expire(2000)
    assert decoder.counters()["streams_forgotten"] == 1100 - 1024
