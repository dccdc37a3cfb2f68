"""Names: compression, limits, and text that is safe to show."""

from __future__ import annotations

from dns_wire import name
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.protocols.dns_names import NAME_OCTETS_MAX, read_name, skip_name

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=10)


def wire(labels: list[bytes]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def test_name_is_lower_case() -> None:
    assert read_name(name("WwW.Example.TEST"), 0) == ("www.example.test", 18)


def test_root_is_a_dot() -> None:
    assert read_name(b"\0", 0) == (".", 1)


def test_pointer_is_followed_and_the_position_is_behind_it() -> None:
    payload = name("example.test") + b"\3www\xc0\x00" + b"rest"
    assert read_name(payload, 14) == ("www.example.test", 20)
    assert skip_name(payload, 14) == 20


def test_pointer_to_itself_is_malformed() -> None:
    assert read_name(b"\xc0\x00", 0) is None


def test_pointers_in_a_circle_are_malformed() -> None:
    assert read_name(b"\1a\xc0\x04\1b\xc0\x00", 4) is None


def test_pointer_forward_is_malformed() -> None:
    assert read_name(b"\xc0\x02\1a\0", 0) is None


def test_pointer_without_its_second_octet_is_malformed() -> None:
    assert read_name(b"\1a\xc0", 0) is None
    assert skip_name(b"\1a\xc0", 0) is None


def test_reserved_label_types_are_malformed() -> None:
    for first in (0x40, 0x80):
        assert read_name(bytes([first]) + bytes(100), 0) is None
        assert skip_name(bytes([first]) + bytes(100), 0) is None


def test_longest_name_is_read_and_one_octet_more_is_not() -> None:
    longest = [b"a" * 63] * 3 + [b"a" * 61]
    assert len(wire(longest)) == NAME_OCTETS_MAX
    assert read_name(wire(longest), 0) is not None
    assert read_name(wire([*longest[:3], b"a" * 62]), 0) is None


def test_chain_of_pointers_to_pointers_ends() -> None:
    chain = b"\0" + b"".join(bytes([0xC0 | (at >> 8), at & 255]) for at in (0, *range(1, 4000, 2)))
    assert read_name(chain, len(chain) - 2) is None


def test_octets_that_are_no_text_are_escaped() -> None:
    found = read_name(wire([b"a.b", b"c\\d", b"\x00\x1b[2J", b"\xff \x7f"]), 0)
    assert found == ("a\\.b.c\\\\d.\\000\\027[2j.\\255\\032\\127", 19)


@given(LABELS)
def test_shown_text_is_printable_and_bounded(labels: list[bytes]) -> None:
    found = read_name(wire(labels), 0)
    assert (found is None) == (len(wire(labels)) > NAME_OCTETS_MAX)
    if found:
        assert found[1] == len(wire(labels))
        assert all(" " < letter <= "~" for letter in found[0])
        assert len(found[0]) <= 4 * NAME_OCTETS_MAX


@given(LABELS, LABELS)
def test_different_names_are_shown_differently(one: list[bytes], other: list[bytes]) -> None:
    first, second = read_name(wire(one), 0), read_name(wire(other), 0)
    if first and second and wire(one).lower() != wire(other).lower():
        assert first[0] != second[0]


@given(st.binary(max_size=300), st.integers(0, 310))
def test_any_octets_give_a_name_or_nothing(payload: bytes, position: int) -> None:
    found, behind = read_name(payload, position), skip_name(payload, position)
    if found is not None:
        assert found[1] == behind
        assert position < found[1] <= len(payload)
