"""Headers of every kind lead to the same segment; what is none has its reason; no bytes raise."""

from __future__ import annotations

import struct

import capture_builder as made
import pytest
from capture_builder import ACK, CLIENT, CLIENT6, ETHERNET, RAW, SERVER, SERVER6
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.source.packet_headers import Segment, read_headers

MAPPED = b"\0" * 10 + b"\xff\xff"
WANTED = Segment(
    6, MAPPED + made.packed(CLIENT[0]), MAPPED + made.packed(SERVER[0]), CLIENT[1], SERVER[1], 7, 9, ACK, b"hello", 5
)  # fmt: skip
WANTED6 = WANTED._replace(source=made.packed(CLIENT6[0]), destination=made.packed(SERVER6[0]))
PACKET = made.segment(CLIENT, SERVER, b"hello", sequence=7, acknowledgement=9)
PACKET6 = made.segment(CLIENT6, SERVER6, b"hello", sequence=7, acknowledgement=9)
ADDRESSES, ADDRESSES6 = (CLIENT[0], SERVER[0]), (CLIENT6[0], SERVER6[0])
INNER = made.tcp((CLIENT[1], SERVER[1]), b"hello", 7, 9)


def read(link_type: int, data: bytes, length: int = 0) -> Segment | str:
    return read_headers(link_type, data, length or len(data))


@pytest.mark.parametrize("link_type", [made.ETHERNET, made.RAW, made.NULL, made.LOOP, made.COOKED, made.COOKED_2])
def test_every_link_type_leads_to_the_segment(link_type: int) -> None:
    assert read(link_type, made.linked(link_type, PACKET)) == WANTED
    assert read(link_type, made.linked(link_type, PACKET6)) == WANTED6


@pytest.mark.parametrize("tags", [(0x8100,), (0x88A8, 0x8100), (0x9100, 0x8100)])
def test_tags_of_virtual_networks_are_stepped_over(tags: tuple[int, ...]) -> None:
    assert read(ETHERNET, made.ethernet(PACKET, *tags)) == WANTED
    assert read(made.COOKED, bytes(14) + made.ethernet(PACKET, *tags)[12:]) == WANTED


def test_tag_behind_the_second_cooked_header_is_stepped_over() -> None:
    assert read(made.COOKED_2, b"\x81\x00" + bytes(18) + b"\0\x07\x08\0" + PACKET) == WANTED


def test_padding_of_short_frames_is_no_payload() -> None:
    assert read(ETHERNET, made.ethernet(PACKET) + bytes(20)) == WANTED


def test_options_of_ipv4_are_stepped_over() -> None:
    assert read(RAW, made.ipv4(ADDRESSES, INNER, options=b"\x01" * 8)) == WANTED


@pytest.mark.parametrize(
    "extensions",
    [
        [(0, bytes(6))], [(60, bytes(6)), (43, bytes(6))], [(44, bytes(6))], [(51, bytes(6))], [(0, bytes(14))],
    ],
)  # fmt: skip
def test_extension_headers_of_ipv6_are_stepped_over(extensions: list[tuple[int, bytes]]) -> None:
    inner, kind = INNER, 6
    for number, rest in reversed(extensions):
        words = 0 if number in (44, 51) else len(rest) // 8
        inner, kind = bytes([kind, words]) + rest + inner, number
    assert read(RAW, made.ipv6(ADDRESSES6, inner, kind)) == WANTED6


def test_segments_too_long_for_the_length_field_are_read() -> None:
    payload = b"x" * 70_000
    inner = made.tcp((1, 2), payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 0, 1, 0x4000, 64, 6, 0) + bytes(8)
    found = read(RAW, head + inner)
    assert isinstance(found, Segment)
    assert (found.size, found.payload) == (70_000, payload)


def test_cut_payload_keeps_its_size() -> None:
    assert read(RAW, PACKET[:-3], len(PACKET)) == WANTED._replace(payload=b"he")
    assert read(RAW, PACKET[:-9], len(PACKET)) == WANTED._replace(payload=b"")


def test_datagrams_have_ports_and_payload() -> None:
    found = read(RAW, made.datagram(CLIENT, ("192.0.2.53", 53), b"question"))
    assert isinstance(found, Segment)
    assert (found.transport, found.destination_port, found.payload, found.size) == (17, 53, b"question", 8)


@pytest.mark.parametrize(
    ("link_type", "data", "reason"),
    [
        (105, PACKET, "other_link_type"),
        (ETHERNET, bytes(12) + b"\x08\x06" + bytes(28), "other_network_protocol"),
        (RAW, b"\x55" + PACKET[1:], "other_network_protocol"),
        (RAW, made.ipv4(ADDRESSES, bytes(8), 1), "other_transport_protocol"),
        (RAW, made.ipv4(ADDRESSES, INNER, fragment=0x2000), "fragments"),
        (RAW, made.ipv4(ADDRESSES, INNER, fragment=185), "fragments"),
        (RAW, made.ipv6(ADDRESSES6, b"\x06\0\0\x01" + bytes(4) + INNER, 44), "fragments"),
        (RAW, made.ipv6(ADDRESSES6, b"\x3c\0" + bytes(6) + (b"\x3c\0" + bytes(6)) * 9, 60), "other_transport_protocol"),
        (ETHERNET, bytes(5), "cut_headers"),
        (RAW, b"", "cut_headers"),
        (RAW, b"\x41" + PACKET[1:], "contradictory_lengths"),
        (RAW, PACKET[:2] + b"\x00\x10" + PACKET[4:], "contradictory_lengths"),
        (RAW, PACKET[:2] + b"\xff\xff" + PACKET[4:], "contradictory_lengths"),
        (RAW, made.ipv4(ADDRESSES, INNER[:12] + b"\x10" + INNER[13:]), "contradictory_lengths"),
    ],
)
def test_what_is_no_segment_has_its_reason(link_type: int, data: bytes, reason: str) -> None:
    assert read(link_type, data) == reason


@pytest.mark.parametrize("size", [0, 10, 19, 20, 30, 39])
def test_cut_headers_are_no_segment(size: int) -> None:
    assert read(RAW, PACKET[:size], len(PACKET)) == "cut_headers"


@settings(max_examples=1000, deadline=None)
@given(
    link_type=st.sampled_from([0, 1, 101, 108, 113, 276, 147]),
    packet=st.sampled_from([PACKET, PACKET6]),
    place=st.integers(0, 80),
    new=st.binary(max_size=12),
    length=st.integers(0, 100),
)
def test_no_bytes_raise(link_type: int, packet: bytes, place: int, new: bytes, length: int) -> None:
    whole = made.linked(link_type, packet) if link_type != 147 else packet
    data = (whole[:place] + new + whole[place + len(new) :])[:length]
    found = read_headers(link_type, data, max(len(data), length))
    if isinstance(found, Segment):
        assert len(found.payload) <= found.size
