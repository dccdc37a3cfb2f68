"""Capture files of both formats: every header variant gives the same packets, every damage a RecordingError or an early end."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import capture_builder as made
import pytest
from capture_builder import ETHERNET, RAW, SECOND, START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.errors import RecordingError
from collector.source.capture_file import is_capture, read_packets
from collector.source.capture_stream import Packet

OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PACKETS = [(START + 123_456_789, b"first"), (START + SECOND, b"second one")]


def read(path: Path, content: bytes) -> list[Packet]:
    return list(read_packets(made.write(path / "capture", content)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tick", [1000, 1])
def test_classic_capture_in_every_byte_order_and_precision(tmp_path: Path, order: str, tick: int) -> None:
    found = read(tmp_path, made.pcap(PACKETS, ETHERNET, order, tick))
    assert found == [Packet(time // tick * tick, ETHERNET, data, len(data)) for time, data in PACKETS]


def test_cut_packet_keeps_its_length(tmp_path: Path) -> None:
    assert read(tmp_path, made.pcap(PACKETS, snapshot=4))[1] == Packet(START + SECOND, RAW, b"seco", 10)


def test_bits_above_the_link_type_are_not_part_of_it(tmp_path: Path) -> None:
    assert read(tmp_path, made.pcap(PACKETS, ETHERNET | 0x14000000))[0].link_type == ETHERNET


@pytest.mark.parametrize("order", ["<", ">"])
def test_blocks_of_several_sections_and_interfaces(tmp_path: Path, order: str) -> None:
    nano, binary = made.option(9, b"\x09", order), made.option(9, b"\x8a", order)
    shifted = made.option(14, struct.pack(order + "q", -7), order)
    content = (
        made.section(order)
        + made.interface(RAW, order)
        + made.interface(ETHERNET, order, nano)
        + made.block(5, b"statistics", order)
        + made.enhanced(START // 1000, b"micro", 0, order)
        + made.enhanced(START + 1, b"nano", 1, order, length=99)
        + made.simple(b"simple", order)
    )
    other = "<" if order == ">" else ">"
    content += made.section(other) + made.interface(RAW, other, made.option(9, b"\x09", other)) + made.enhanced(5, b"x", 0, other)
    content += made.section(order) + made.interface(RAW, order, binary + shifted) + made.enhanced(10 << 10, b"y", 0, order)
    assert read(tmp_path, content) == [
        Packet(START, RAW, b"micro", 5),
        Packet(START + 1, ETHERNET, b"nano", 99),
        Packet(START + 1, RAW, b"simple", 6),
        Packet(5, RAW, b"x", 1),
        Packet(3 * SECOND, RAW, b"y", 1),
    ]


def test_simple_blocks_are_cut_at_the_interface_limit(tmp_path: Path) -> None:
    content = made.section() + made.interface(snapshot=4) + made.block(3, struct.pack("<I", 10) + b"seco")
    assert read(tmp_path, content) == [Packet(0, RAW, b"seco", 10)]


def test_obsolete_packet_blocks_are_read(tmp_path: Path) -> None:
    body = struct.pack("<HHIIII", 0, 3, 0, 77, 3, 9) + b"old"
    assert read(tmp_path, made.section() + made.interface() + made.block(2, body)) == [Packet(77_000, RAW, b"old", 9)]


def test_packed_capture_is_read_and_recognised(tmp_path: Path) -> None:
    path = made.write(tmp_path / "capture.gz", gzip.compress(made.pcap(PACKETS)))
    assert is_capture(path)
    assert len(list(read_packets(path))) == 2


NO_RECORDING = gzip.compress(b"honeyguide recording 1\n")


@pytest.mark.parametrize("content", [b"", b"\xd4\xc3", b"text", NO_RECORDING, b"\x1f\x8b", b"\xa1\xb2\xcd\x34"])
def test_what_is_no_capture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = made.write(tmp_path / "file", content)
    assert not is_capture(path)
    if content != b"\x1f\x8b":  # a packed file cut at once holds nothing, not something else
        with pytest.raises(RecordingError, match="no packet capture"):
            list(read_packets(path))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert not is_capture(tmp_path / "nothing")
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read_packets(tmp_path / "nothing"))


BLOCKS = made.section() + made.interface()
DAMAGED = {
    "version": made.pcap([])[:4] + b"\x09\x00" + made.pcap([])[6:],
    "longest packet": made.pcap([]) + struct.pack("<IIII", 1, 1, (1 << 18) + 1, 5),
    "claimed packet": made.pcap([]) + struct.pack("<IIII", 1, 1, 0xFFFFFFFF, 5),
    "section without order": made.section()[:8] + b"abcd" + made.section()[12:],
    "section version": made.section()[:12] + b"\x09" + made.section()[13:],
    "section of no size": made.section()[:4] + bytes(4) + made.section()[8:],
    "size not of words": BLOCKS + struct.pack("<II", 6, 37) + bytes(40),
    "claimed block": BLOCKS + struct.pack("<II", 6, 0xFFFFFFFC) + bytes(40),
    "tail": BLOCKS + made.enhanced(1, b"abcd")[:-4] + bytes(4),
    "interface unknown": BLOCKS + made.enhanced(1, b"abcd", number=1),
    "no interface": made.section() + made.simple(b"x"),
    "captured more than the block": BLOCKS + made.block(6, struct.pack("<IIIII", 0, 0, 1, 9, 9) + b"abcd"),
    "block too short": BLOCKS + made.block(6, b"abcd"),
    "options cut": made.section() + made.block(1, struct.pack("<HHIHH", RAW, 0, 0, 14, 8)),
    "too many interfaces": made.section() + made.interface() * 4097,
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_said_and_takes_no_memory(tmp_path: Path, name: str) -> None:
    path = made.write(tmp_path / "capture", DAMAGED[name])
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError, match="is damaged"):
            list(read_packets(path))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


WHOLE = {
    "pcap": made.pcap(PACKETS * 3),
    "pcapng": BLOCKS + b"".join(made.enhanced(time // 1000, data) for time, data in PACKETS * 3),
    "packed": gzip.compress(made.pcap(PACKETS * 3)),
}


@OFTEN
@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_file_cut_anywhere_gives_what_is_before_the_cut(tmp_path: Path, name: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(4, len(WHOLE[name]) - 1))
    whole = read(tmp_path, WHOLE[name])
    found = read(tmp_path, WHOLE[name][:length])
    assert found == whole[: len(found)]


@OFTEN
@given(name=st.sampled_from(sorted(WHOLE)), place=st.integers(0, 1 << 20), new=st.binary(min_size=1, max_size=6))
def test_damaged_bytes_give_packets_or_an_error(tmp_path: Path, name: str, place: int, new: bytes) -> None:
    content = bytearray(WHOLE[name])
    content[place % len(content) : place % len(content) + len(new)] = new
    try:
        found = read(tmp_path, bytes(content))
    except RecordingError as error:
        assert error.cause
    else:
        assert all(len(packet.data) <= packet.length for packet in found)
