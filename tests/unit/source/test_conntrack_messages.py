"""Netlink messages of the kernel's connection tracking become rows; no bytes do harm."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from conntrack_bytes import DESTROY, DONE, ERROR, NEW, RECORDED, Ends, control, message
from hypothesis import given
from hypothesis import strategies as st

from collector.address_translation import CREATED, DESTROYED
from collector.source.conntrack_messages import (
    HEADER,
    IPV4,
    LENGTHS,
    STATUS_DESTINATION,
    ask_for_table,
    read_messages,
    rewritten_only,
)
from collector.source.conntrack_socket import attach_filter

CLIENT, SERVICE, POD = "10.1.0.5|47832", "10.96.0.1|80", "10.2.0.7|8080"
ORIGINAL, REPLY = Ends(CLIENT, SERVICE), Ends(POD, CLIENT)
DNAT = message(NEW, ORIGINAL, REPLY)


def end_of(row: Any, name: str) -> str:
    address = ipaddress.IPv6Address(bytes(row[name]))
    return f"{address.ipv4_mapped or address}|{row[f'{name}_port']}"


def ends_of(row: Any) -> list[str]:
    return [end_of(row, name) for name in ("original_source", "original_destination", "reply_source", "reply_destination")]


def test_what_a_kernel_wrote_is_read() -> None:
    found = read_messages([RECORDED])
    assert (len(found.rows), found.plain, found.other) == (1, 0, 0)
    assert ends_of(found.rows[0]) == [CLIENT, SERVICE, POD, CLIENT]
    assert (found.rows[0]["transport"], found.rows[0]["event"]) == (6, CREATED)


def test_both_families_and_protocols_in_one_datagram() -> None:
    six = message(DESTROY, Ends("fd00::5|4000", "fd00:96::1|53", 17), Ends("fd00::7|1053", "fd00::5|4000", 17))
    found = read_messages([DNAT + six, DNAT])
    assert [ends_of(row) for row in found.rows[:2]] == [[CLIENT, SERVICE, POD, CLIENT]] * 2
    assert ends_of(found.rows[2]) == ["fd00::5|4000", "fd00:96::1|53", "fd00::7|1053", "fd00::5|4000"]
    assert found.rows["event"].tolist() == [CREATED, CREATED, DESTROYED]
    assert found.rows["transport"].tolist() == [6, 6, 17]


def test_connections_that_keep_their_addresses_are_only_counted() -> None:
    found = read_messages([message(NEW, ORIGINAL, Ends(SERVICE, CLIENT))])
    assert (len(found.rows), found.plain) == (0, 1)


def test_a_changed_port_alone_is_a_translation() -> None:
    found = read_messages([message(NEW, ORIGINAL, Ends(SERVICE, "10.1.0.5|1024"))])
    assert ends_of(found.rows[0])[3] == "10.1.0.5|1024"


def test_what_has_no_ports_is_counted_apart() -> None:
    icmp = message(NEW, Ends(CLIENT, SERVICE, 1), Ends(POD, CLIENT, 1))
    found = read_messages([icmp, DNAT])
    assert (len(found.rows), found.other) == (1, 1)


def test_the_end_of_a_dump_and_an_error_are_told() -> None:
    found = read_messages([control(DONE), control(ERROR, (-1).to_bytes(4, "little", signed=True) + bytes(16))])
    assert (found.done, found.error, found.interrupted) == (True, 1, False)
    assert read_messages([message(NEW, ORIGINAL, REPLY, flags=0x10)]).interrupted


def test_a_message_cut_anywhere_gives_no_row() -> None:
    for length in range(len(DNAT)):
        assert len(read_messages([DNAT[:length]]).rows) == 0


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_any_bytes_are_survived(datagrams: list[bytes]) -> None:
    read_messages(datagrams)


@given(st.integers(0, len(DNAT) - 1), st.integers(1, 255))
def test_a_damaged_message_is_survived_and_its_neighbour_read(place: int, change: int) -> None:
    damaged = bytearray(DNAT)
    damaged[place] ^= change
    assert len(read_messages([bytes(damaged), DNAT]).rows) >= 1


def test_requests_and_filters_have_the_sizes_that_the_kernel_expects() -> None:
    request = ask_for_table(7, STATUS_DESTINATION)
    assert HEADER.unpack_from(request)[0] == len(request) == 36
    assert len(rewritten_only()) % 8 == 0


PLAIN, SOURCE_NAT, CLIENT_6, SERVICE_6, POD_6 = 0x18E, 0x19E, "fd00::5|4000", "fd00:96::1|53", "fd00:96::2|53"
PASSING = {
    "destination rewritten": DNAT,
    "source rewritten": message(NEW, ORIGINAL, Ends(SERVICE, "10.1.0.1|1024"), status=SOURCE_NAT),
    "by IPVS, which leaves the status alone": message(NEW, ORIGINAL, REPLY, status=PLAIN),
    "by IPVS, UDP": message(DESTROY, Ends(CLIENT, SERVICE, 17), Ends(POD, CLIENT, 17), status=PLAIN),
    "by IPVS, IPv6": message(NEW, Ends(CLIENT_6, SERVICE_6), Ends(POD_6, CLIENT_6), status=PLAIN),
    "without a status": message(NEW, ORIGINAL, Ends(SERVICE, CLIENT))[: LENGTHS[IPV4]],
}
HELD_BACK = {
    "as it is": message(NEW, ORIGINAL, Ends(SERVICE, CLIENT), status=PLAIN),
    "as it is, IPv6": message(NEW, Ends(CLIENT_6, SERVICE_6), Ends(SERVICE_6, CLIENT_6), status=PLAIN),
    "an echo": message(NEW, Ends(CLIENT, SERVICE, 1), Ends(SERVICE, CLIENT, 1), status=PLAIN),
}


@pytest.mark.parametrize(
    ("content", "passes"),
    [*((one, True) for one in PASSING.values()), *((one, False) for one in HELD_BACK.values())],
    ids=[*PASSING, *HELD_BACK],
)
def test_the_kernel_holds_back_what_is_not_rewritten(content: bytes, passes: bool) -> None:
    """The filter works on any socket; the last datagram shows that nothing is still on its way."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        attach_filter(receiver, rewritten_only())
        for datagram in (content, DNAT):
            sender.send(datagram)
        arrived = receiver.recv(1000), *([receiver.recv(1000)] if passes else [])
    assert arrived == ((content, DNAT) if passes else (DNAT,))
