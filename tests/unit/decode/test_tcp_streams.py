"""Connections from segments: who asks, what is asked, and what becomes of the rest."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from capture_builder import ACK, FIN, RST, SYN, answer, request
from tcp_talk import CLIENT, SERVER, Talk, run

from collector.decode.request import Outcome
from collector.decode.tcp_streams import StreamRequest, StreamSegment, TcpStreams


def told(found: Sequence[StreamRequest]) -> list[tuple[str, str, Outcome]]:
    return [(one.request.resource, one.request.status, one.request.outcome) for one in found]


def test_request_has_its_ends_times_and_number() -> None:
    talk = Talk().open().ask(request("/a")).answer(answer()).ask(request("/b")).answer(answer(status=503)).close()
    found = run(talk.segments, ended=False)
    assert told(found) == [("/a", "200", Outcome.OK), ("/b", "503", Outcome.ERROR)]
    assert {(one.flow, one.client, one.server) for one in found} == {(1, CLIENT, SERVER)}
    assert (found[0].request.started_at, found[0].request.ended_at) == (4_000_000, 5_000_000)


@pytest.mark.parametrize("swapped", [False, True])
def test_connection_joined_midway_is_told_by_what_is_said(swapped: bool) -> None:
    ends = ((b"\1" * 16, 1000), (b"\2" * 16, 50000))
    talk = Talk(*(ends[::-1] if swapped else ends)).answer(b"rest of a body").ask(request("/a")).answer(answer())
    found = run(talk.segments)
    assert told(found) == [("/a", "200", Outcome.OK)]
    assert found[0].server == talk.ends[1]


def test_long_answer_before_the_first_request_of_an_old_connection_is_passed() -> None:
    talk = Talk()
    for _ in range(100):
        talk.answer(bytes(1400))
    assert told(run(talk.ask(request("/a")).answer(answer()).segments)) == [("/a", "200", Outcome.OK)]


def test_lost_segment_of_a_body_costs_nothing() -> None:
    body = bytes(5000)
    talk = Talk().open().ask(request("/a")).answer(answer(body)[:2000]).answer(answer(body)[2000:4000])
    talk.send(0).answer(answer(body)[4000:]).ask(request("/b")).answer(answer()).close()
    streams = TcpStreams()
    found = run([*talk.segments[:5], *talk.segments[6:]], streams)
    assert told(found) == [("/a", "200", Outcome.OK), ("/b", "200", Outcome.OK)]
    assert found[0].request.response_body_bytes == 5000
    assert streams.counters()["hole_bytes"] == 2000


def test_lost_request_loses_only_itself() -> None:
    talk = Talk().open().ask(request("/a")).answer(answer()).ask(request("/lost")).answer(answer())
    talk.ask(request("/b")).answer(answer(status=404)).close()
    assert told(run([*talk.segments[:5], *talk.segments[6:]])) == [("/a", "200", Outcome.OK), ("/b", "404", Outcome.OK)]


def test_packets_cut_by_the_capture_are_skipped() -> None:
    talk = Talk().open().ask(request("/a", bytes(900)), 120).answer(answer(bytes(3000)), 120).ask(request("/b"))
    found = run(talk.answer(answer()).close().segments)
    assert told(found) == [("/a", "200", Outcome.OK), ("/b", "200", Outcome.OK)]
    assert (found[0].request.request_body_bytes, found[0].request.response_body_bytes) == (900, 3000)


def test_retransmissions_and_swapped_packets_change_nothing() -> None:
    talk = Talk().open().ask(request("/a", bytes(100))[:60]).ask(request("/a", bytes(100))[60:]).answer(answer()).close()
    opening, asking, rest = talk.segments[:3], talk.segments[3:5], talk.segments[5:]
    plain = [one.request.resource for one in run(talk.segments)]
    shuffled = [*opening, *opening, *asking[::-1], *asking, *rest, *asking, *rest]
    assert [one.request.resource for one in run(shuffled)] == plain == ["/a"]


def test_unanswered_request_is_unanswered_only_when_the_connection_ended() -> None:
    talk = Talk().open().ask(request("/a"))
    assert told(run(talk.segments)) == [("/a", "", Outcome.UNKNOWN)]
    assert told(run([*talk.segments, *Talk.send(talk, 1, flags=RST | ACK).segments[-1:]])) == [("/a", "", Outcome.UNANSWERED)]


def test_same_ports_again_are_another_connection() -> None:
    first = Talk().open().ask(request("/a")).answer(answer()).close()
    second = Talk(first=12345).open().ask(request("/b")).answer(answer())
    unclosed = Talk(first=99999).open().ask(request("/c")).answer(answer())
    streams = TcpStreams()
    found = run([*first.segments, *second.segments, *unclosed.segments], streams)
    assert [(one.flow, one.request.resource) for one in found] == [(1, "/a"), (2, "/b"), (3, "/c")]


def test_what_comes_after_the_end_is_counted() -> None:
    talk = Talk().open().ask(request("/a")).answer(answer()).close()
    streams = TcpStreams()
    run([*talk.segments, talk.segments[3]], streams, ended=False)
    assert streams.counters()["bytes_after_the_end"] == len(request("/a"))


def test_oldest_connection_gives_way_and_is_counted() -> None:
    streams = TcpStreams(connections_max=2)
    talks = [Talk((b"\1" * 16, port)).open().ask(request(f"/{port}")) for port in (1, 2, 3)]
    found = run([segment for talk in talks for segment in talk.segments], streams, ended=False)
    assert told(found) == [("/1", "", Outcome.UNKNOWN)]
    assert streams.counters()["connections_forgotten"] == 1


@pytest.mark.parametrize("opened", [True, False])
def test_what_nobody_recognises_is_given_up_and_counted(opened: bool) -> None:
    chance = random.Random(7)
    talk = Talk().open() if opened else Talk()
    for _ in range(40):
        talk.ask(b"\x16\x03\x01" + chance.randbytes(500)).answer(b"\x16\x03\x03" + chance.randbytes(500))
    streams = TcpStreams()
    assert run(talk.close().segments, streams) == []
    assert streams.counters()["unrecognised_connections"] == 1


def test_any_segments_do_no_harm() -> None:
    chance = random.Random(11)
    streams = TcpStreams(connections_max=4)
    pieces = [request("/a"), answer(), request("/b", b"x" * 50), b"", b"\0" * 20, answer()[:20]]
    for _ in range(20_000):
        ends = [(bytes([chance.randrange(3)]) * 16, chance.choice([80, 40000])) for _ in range(2)]
        data = chance.choice(pieces)
        numbers = (chance.choice([0, 1, 100, 2**31, 2**32 - 1]) + chance.randrange(200)) % 2**32, chance.randrange(300)
        flags = chance.choice([ACK, ACK, ACK, SYN, FIN | ACK, RST, SYN | ACK, 63])
        cut = data[: chance.randrange(len(data) + 1)]
        streams.add(StreamSegment(chance.randrange(2**60), ends[0], ends[1], *numbers, flags, cut, len(data)))
    streams.end_all()
    assert min(streams.counters().values()) >= 0
