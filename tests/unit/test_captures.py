"""Packet captures through the whole pipeline: real ones made with tcpdump on loopback, and made ones of every kind."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import capture_builder as made
import pytest
from capture_builder import CLIENT, CLIENT6, SERVER, SERVER6, START, answer, request

from collector.__main__ import main
from collector.accounts import Book
from collector.agent import Agent, open_file
from collector.errors import RecordingError
from collector.node import Node
from collector.node_building import build_node
from collector.request_lines import write_requests
from collector.settings import Settings
from collector.source.capture_source import CaptureSource

TALK = [
    ("client", request("/items/1")),
    ("server", answer()),
    ("client", request("/orders", b"abc")),
    ("server", answer(b"", 500)),
]
DNS_SERVER = ("192.0.2.53", 53)
QUESTION = bytes.fromhex("12340100000100000000000003776562076578616d706c6504746573740000010001")
ANSWER = bytes.fromhex("12348580000100010000000003776562076578616d706c6504746573740000010001c00c0001000100000e100004c0000250")


def lines_of(path: Path, **settings: Any) -> list[dict[str, Any]]:
    out = io.StringIO()
    source = open_file(Settings(**settings), path)
    write_requests(source, out)
    source.close()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def replay(path: Path, **settings: Any) -> tuple[Node, CaptureSource]:
    chosen = Settings(**settings)
    source = open_file(chosen, path)
    assert isinstance(source, CaptureSource)
    node = build_node(chosen, source.clock, source, {})
    for probe in source.probes:
        node.add_probe(probe)
    Agent(chosen, source, node).replay()
    source.close()
    return node, source


def metric_lines(node: Node, beginning: str) -> list[str]:
    pieces, _ = node.render_metrics("") or ((), "")
    return [line for line in b"".join(pieces).decode().splitlines() if line.startswith(beginning)]


def short(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["operation"], line["resource"], line["status"], line["request_body_bytes"], line["response_body_bytes"]


def test_requests_of_a_real_capture_are_all_there(project: Path) -> None:
    lines = lines_of(project / "tests/data/captures/http.pcap")
    assert [short(line) for line in lines] == [
        ("GET", "/items/1", "200", 0, 1),
        ("GET", "/items/2", "200", 0, 10),
        ("GET", "/missing", "404", 0, 10),
        ("GET", "/broken", "500", 0, 10),
        ("GET", "/big/3000", "200", 0, 3000),
        ("POST", "/orders", "201", 2000, 2),
        *(("GET", f"/pipelined/{number}", "200", 0, number) for number in range(5)),
        ("GET", "/chunked", "200", 0, 15),
        ("GET", "/chunked/again", "200", 0, 15),
    ]
    assert {line["server"] for line in lines} == {"127.0.0.1:18080"}
    assert all(line["duration_seconds"] > 0 and line["time"].startswith("2026-11-24T00:22:14.") for line in lines)
    assert "secret" not in json.dumps(lines)


def test_lookups_of_a_real_capture_are_all_there(project: Path) -> None:
    lines = lines_of(project / "tests/data/captures/dns.pcap", dns_ports=(18053,))
    assert Counter((line["operation"], line["resource"], line["status"], line["outcome"]) for line in lines) == {
        ("a", "web.example.test", "noerror", "ok"): 2,  # over UDP and over TCP
        ("aaaa", "api.example.test", "noerror", "ok"): 1,
        ("a", "nothing.test", "nxdomain", "error"): 1,
    }
    assert all(line["server"] == "127.0.0.1:18053" and line["duration_seconds"] > 0 for line in lines)


def test_metrics_say_the_same_as_the_lines(project: Path) -> None:
    node, source = replay(project / "tests/data/captures/http.pcap")
    counts = [float(line.rsplit(" ", 1)[1]) for line in metric_lines(node, "http_server_request_duration_seconds_count{")]
    assert sum(counts) == 13
    assert [book.balanced for book in source.books()] == [True]


@pytest.mark.parametrize("link_type", [made.ETHERNET, made.RAW, made.NULL, made.LOOP, made.COOKED, made.COOKED_2])
@pytest.mark.parametrize("ends", [(CLIENT, SERVER), (CLIENT6, SERVER6)], ids=["ipv4", "ipv6"])
def test_every_link_type_gives_the_same_requests(tmp_path: Path, link_type: int, ends: tuple[made.End, made.End]) -> None:
    packets = [(time, made.linked(link_type, packet)) for time, packet in made.conversation(TALK, *ends)]
    lines = lines_of(made.write(tmp_path / "capture", made.pcap(packets, link_type)))
    assert [short(line) for line in lines] == [("GET", "/items/1", "200", 0, 2), ("POST", "/orders", "500", 3, 0)]
    server = "[2001:db8::80]:80" if ":" in ends[1][0] else "192.0.2.80:80"
    assert [line["server"] for line in lines] == [server] * 2


def test_tagged_frames_in_blocks_of_two_interfaces_are_one_connection(tmp_path: Path) -> None:
    content = made.section(">") + made.interface(made.ETHERNET, ">") + made.interface(made.RAW, ">", made.option(9, b"\x09", ">"))
    for time, packet in made.conversation(TALK, first=(2**32 - 30, 2**32 - 50)):
        if packet[12:16] == made.packed(CLIENT[0]):
            content += made.enhanced(time // 1000, made.ethernet(packet, 0x88A8, 0x8100), 0, ">")
        else:
            content += made.enhanced(time, packet, 1, ">")
    lines = lines_of(made.write(tmp_path / "capture", content))
    assert [line["resource"] for line in lines] == ["/items/1", "/orders"]
    assert [line["duration_seconds"] for line in lines] == [0.001, 0.001]


def test_short_snapshots_lose_no_request(tmp_path: Path) -> None:
    talk = [("client", request("/a")), ("server", answer(bytes(4000))), ("client", request("/b")), ("server", answer(bytes(9)))]
    lines = lines_of(made.write(tmp_path / "capture", made.pcap(made.conversation(talk), snapshot=96)))
    assert [(line["resource"], line["response_body_bytes"]) for line in lines] == [("/a", 4000), ("/b", 9)]


def test_peers_are_named_by_the_lookups_of_the_capture(tmp_path: Path) -> None:
    asker = ("192.0.2.80", 5353)  # the server looks its client up
    named = ANSWER[:-4] + made.packed(CLIENT[0])
    packets = [
        (START - 2000, made.datagram(asker, DNS_SERVER, QUESTION)),
        (START - 1000, made.datagram(DNS_SERVER, asker, named)),
        *made.conversation(TALK),
    ]
    node, _ = replay(made.write(tmp_path / "capture", made.pcap(packets)))
    assert "web.example.test" in {workload.name for workload in node.identities.workloads()}
    assert len(metric_lines(node, "dns_lookup_duration_seconds_count{")) == 1
    assert node.lookups.counts().rows == 1


def test_metrics_of_an_old_capture_stay(tmp_path: Path) -> None:
    asker = ("192.0.2.80", 5353)
    packets = [(START, made.datagram(asker, DNS_SERVER, QUESTION)), (START + 1000, made.datagram(DNS_SERVER, asker, ANSWER))]
    node, _ = replay(made.write(tmp_path / "capture", made.pcap([*packets, *made.conversation(TALK)])))
    for _ in range(2):
        node.keep_house()
    assert len(metric_lines(node, "honeyguide_dns_lookups_total{")) == 1
    assert len(metric_lines(node, "http_server_request_duration_seconds_count{")) == 2


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    inner = made.tcp((1, 2), b"x")
    packets = [
        made.ethernet(made.segment(CLIENT, SERVER, b"x")),
        made.ethernet(made.datagram(CLIENT, ("192.0.2.80", 9999), b"x")),
        made.ethernet(made.datagram(CLIENT, DNS_SERVER, QUESTION)),
        made.ethernet(made.ipv4((CLIENT[0], SERVER[0]), inner, fragment=0x2000)),
        made.ethernet(made.ipv4((CLIENT[0], SERVER[0]), b"ping", 1)),
        bytes(12) + b"\x08\x06" + bytes(28),
        bytes(7),
    ]
    timed = [(START, packet) for packet in packets] + [(0, packets[0])]
    node, source = replay(made.write(tmp_path / "capture", made.pcap(timed, made.ETHERNET)))
    dropped = {"fragments": 1, "cut_headers": 1, "impossible_time": 1}
    assert source.books() == [Book("capture", "packets", 8, 2, 3, 0, dropped, delivered=True, decoded=2)]
    assert node.pipeline.decoder_counters()["capture"]["unrecognised_connections"] == 1


def test_capture_cut_in_the_middle_gives_what_is_there(tmp_path: Path) -> None:
    content = made.pcap(made.conversation(TALK))
    node, source = replay(made.write(tmp_path / "cut", content[:-400]))
    assert source.finished
    assert node.pipeline.rows[("capture", "request")] == 1


def test_damage_ends_the_capture_with_what_came_before(tmp_path: Path) -> None:
    content = made.pcap(made.conversation(TALK)) + b"\xff" * 16
    _, source = replay(made.write(tmp_path / "damaged", content))
    assert (source.finished, source.complete, source.seen) == (True, False, 10)


def test_large_capture_is_read_in_pieces(tmp_path: Path) -> None:
    packets = [(START + place, made.segment(CLIENT, SERVER, bytes(60_000), sequence=place * 60_000)) for place in range(300)]
    source = open_file(Settings(), made.write(tmp_path / "capture", made.pcap(packets)))
    sizes = []
    while not source.finished:
        sizes.append(sum(len(batch) for batch in source.read()))
    assert len(sizes) > 2
    assert sum(sizes) == 301  # the last row says that it ends


def test_command_prints_a_line_for_each_request(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(project / "tests/data/captures/http.pcap"), "-o", "json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert {
        "time",
        "protocol",
        "operation",
        "resource",
        "status",
        "outcome",
        "duration_seconds",
        "client",
        "server",
    } <= first.keys()
    assert (first["protocol"], first["request_bytes"], first["response_bytes"]) == ("http", 75, 92)


def test_recordings_are_printed_too(project: Path) -> None:
    lines = lines_of(project / "tests/data/node.recording")
    assert {line["protocol"] for line in lines} == {"dns", "http", "redis", "postgresql"}
    assert "unanswered" in {line["outcome"] for line in lines}


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        open_file(Settings(), made.write(tmp_path / "text", b"neither"))
    with pytest.raises(RecordingError):
        open_file(Settings(), tmp_path / "nothing")


def mutations(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 12)):
        place = chance.randrange(len(changed))
        kind = chance.randrange(4)
        if kind == 0:
            changed[place] = chance.randrange(256)
        elif kind == 1:
            changed[place : place + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, chance.randbytes(4)])
        elif kind == 2:
            del changed[place : place + chance.randrange(1, 40)]
        else:
            changed[place:place] = changed[place : place + chance.randrange(1, 80)]
        if len(changed) < 64:
            break
    return bytes(changed)


def whole_captures(project: Path) -> list[bytes]:
    block_made = made.section() + made.interface() + b"".join(
        made.enhanced(time // 1000, packet) for time, packet in made.conversation(TALK)
    )  # fmt: skip
    real = [(project / "tests/data/captures" / name).read_bytes() for name in ("http.pcap", "dns.pcap")]
    return [*real, block_made, made.pcap(made.conversation(TALK))]


def print_if_possible(path: Path) -> list[dict[str, Any]]:
    try:
        return lines_of(path, dns_ports=(53, 18053))
    except RecordingError:
        return []


def test_mutated_captures_end_quietly_or_are_refused(project: Path, tmp_path: Path) -> None:
    chance = random.Random(3)
    captures = whole_captures(project)
    found = 0
    for _ in range(400):
        found += len(print_if_possible(made.write(tmp_path / "mutated", mutations(chance.choice(captures), chance))))
    assert found > 100  # most mutations hurt only what they hit
