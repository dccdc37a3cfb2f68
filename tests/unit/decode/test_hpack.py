"""HPACK: the examples of RFC 7541, appendix C, tables that are older than the agent, and what must not be kept."""

from __future__ import annotations

import pytest
from http2_wire import HeaderWriter, write_integer
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.protocols.hpack import TABLE_LIMIT, HpackDecoder, Reading
from collector.decode.protocols.huffman import decode_huffman

ALL = Reading(None)
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
MONDAY = b"Mon, 21 Oct 2013 20:13:2%d GMT"
COOKIE = b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
ANSWER = [(b":status", b"302"), (b"cache-control", b"private"), (b"date", MONDAY % 1), (b"location", b"https://www.example.com")]
REQUESTS = [
    GET,
    [*GET, (b"cache-control", b"no-cache")],
    [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/index.html"), GET[3], (b"custom-key", b"custom-value")],
]
ANSWERS = [
    ANSWER,
    [(b":status", b"307"), *ANSWER[1:]],
    [
        (b":status", b"200"), (b"cache-control", b"private"), (b"date", MONDAY % 2), (b"location", b"https://www.example.com"),
        (b"content-encoding", b"gzip"), (b"set-cookie", COOKIE),
    ],
]  # fmt: skip


@pytest.mark.parametrize(
    ("block", "field", "table_bytes"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), 55),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), 0),
        ("100870617373776f726406736563726574", (b"password", b"secret"), 0),
        ("82", (b":method", b"GET"), 0),
    ],
)
def test_every_representation_is_read_as_in_c_2(block: str, field: tuple[bytes, bytes], table_bytes: int) -> None:
    decoder = HpackDecoder(ALL)
    read = decoder.decode(bytes.fromhex(block))
    assert read is not None
    assert (read.fields, read.unknown, decoder.table_bytes) == ([field], 0, table_bytes)


@pytest.mark.parametrize(
    "blocks",
    [
        (
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ),
        (
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ),
    ],
    ids=["C.3", "C.4"],
)
def test_requests_of_c_3_and_c_4(blocks: tuple[str, ...]) -> None:
    decoder = HpackDecoder(ALL)
    for block, fields, table_bytes in zip(blocks, REQUESTS, (57, 110, 164), strict=True):
        read = decoder.decode(bytes.fromhex(block))
        assert read is not None
        assert (read.fields, decoder.table_bytes) == (fields, table_bytes)
    assert decoder.table == [(b"custom-key", b"custom-value"), (b"cache-control", b"no-cache"), GET[3]]


@pytest.mark.parametrize(
    "blocks",
    [
        (
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e"
            "6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f51"
            "57454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        ),
        (
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab"
            "270fb5291f9587316065c003ed4ee5b1063d5007",
        ),
    ],
    ids=["C.5", "C.6"],
)
def test_answers_of_c_5_and_c_6_with_evictions(blocks: tuple[str, ...]) -> None:
    decoder = HpackDecoder(ALL)
    resize_to_256 = write_integer(256, 5, 0x20)
    for block, fields, table_bytes in zip((resize_to_256.hex() + blocks[0], *blocks[1:]), ANSWERS, (222, 222, 215), strict=True):
        read = decoder.decode(bytes.fromhex(block))
        assert read is not None
        assert (read.fields, decoder.table_bytes) == (fields, table_bytes)
    assert decoder.table == [(b"set-cookie", COOKIE), (b"content-encoding", b"gzip"), (b"date", MONDAY % 2)]


@pytest.mark.parametrize(
    "block",
    [
        "80",
        "be",
        "ff80808080808001",
        "40",
        "4001",
        "400261",
        "418cf1e3c2e5f23a6ba0ab90f4",
        "4101ff00",
        "3fffffffffffffff7f",
        "7f",
    ],
    ids=lambda block: block,
)
def test_malformed_blocks_are_refused_not_raised(block: str) -> None:
    assert HpackDecoder(ALL).decode(bytes.fromhex(block)) is None


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x1f\x00", b"\x19", b"\xfe"])
def test_huffman_with_wrong_padding_or_end_of_string_is_refused(data: bytes) -> None:
    assert decode_huffman(data) is None


def test_a_table_of_size_zero_keeps_nothing() -> None:
    decoder = HpackDecoder(ALL)
    assert decoder.decode(b"\x20" + HeaderWriter().block([(b"x", b"y")])) is not None
    assert decoder.table == []


def test_unknown_entries_are_unknown_and_later_ones_are_sure() -> None:
    writer, decoder = HeaderWriter(), HpackDecoder(ALL)
    old = [(b":path", b"/old"), (b"x-old", b"1")]
    writer.block(old)
    decoder.forget()
    read = decoder.decode(writer.block([(b":method", b"GET"), *old, (b"x-old", b"2"), (b":path", b"/new")]))
    assert read == ([(b":method", b"GET"), (b":path", b"/new")], 3)
    read = decoder.decode(writer.block([(b":path", b"/new"), (b":path", b"/old"), (b"x-old", b"2")]))
    assert read == ([(b":path", b"/new")], 2)


def test_a_table_emptied_by_its_sender_is_known_again() -> None:
    decoder = HpackDecoder(ALL)
    decoder.forget()
    assert decoder.decode(b"\xbe") == ([], 1)
    assert decoder.decode(b"\x20" + write_integer(4096, 5, 0x20) + b"\x82") == ([(b":method", b"GET")], 0)
    assert decoder.decode(b"\xbe") is None


def test_a_table_filled_anew_is_known_again() -> None:
    decoder = HpackDecoder(ALL)
    decoder.forget()
    assert decoder.decode(write_integer(64, 5, 0x20) + HeaderWriter().block([(b"x", b"y")])) is not None
    assert decoder.decode(b"\xbf") is None  # behind the only entry that 64 bytes hold with another


def test_values_that_nobody_reads_are_not_kept() -> None:
    decoder = HpackDecoder(Reading({b":path": lambda value: value.partition(b"?")[0]}))
    fields = [(b":path", b"/a?token=secret"), (b"cookie", b"secret"), (b"x-secret", b"secret")]
    writer = HeaderWriter()
    for _ in range(2):
        assert decoder.decode(writer.block(fields)) == ([(b":path", b"/a")], 0)
    assert decoder.table == [(b"x-secret", None), (b"cookie", None), (b":path", b"/a")]
    assert decoder.table_bytes == sum(len(name) + len(value) + 32 for name, value in fields)


def test_the_table_is_bounded_whatever_the_peers_agree_on() -> None:
    writer, decoder = HeaderWriter(), HpackDecoder(ALL)
    assert decoder.decode(write_integer(1 << 27, 5, 0x20)) is not None
    for number in range(300):
        assert decoder.decode(writer.block([(b"x-%d" % number, b"v" * 1000)])) is not None
        assert decoder.table_bytes <= TABLE_LIMIT
    assert decoder.decode(write_integer(62 + 250, 7, 0x80)) == ([], 1)  # its sender still has it


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, is_joined: bool) -> None:
    decoder = HpackDecoder(ALL)
    if is_joined:
        decoder.forget()
    decoder.decode(data)
    assert decoder.table_bytes <= TABLE_LIMIT


@given(st.lists(st.tuples(st.sampled_from([b":path", b"a", b"b"]), st.binary(max_size=9)), max_size=30), st.integers(0, 30))
def test_a_late_observer_never_reads_a_wrong_field(fields: list[tuple[bytes, bytes]], joined_at: int) -> None:
    writer, decoder = HeaderWriter(), HpackDecoder(ALL)
    decoder.forget()
    blocks = [writer.block([field]) for field in fields]
    for block, field in list(zip(blocks, fields, strict=True))[joined_at:]:
        assert decoder.decode(block) in (([field], 0), ([], 1))
