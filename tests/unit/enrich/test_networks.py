"""The class of network an address lies in."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.networks import KEPT, NetworkTable
from enrich.batches import address


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("127.0.0.53", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.0", "internet"),
        ("192.168.0.1", "private"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fd00::1", "unique-local"),
        ("224.0.0.251", "multicast"),
        ("ff02::fb", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("203.0.113.9", "documentation"),
        ("2001:db8::1", "documentation"),
        ("100.64.0.1", "carrier-nat"),
        ("198.18.0.1", "benchmark"),
        ("0.1.2.3", "this-network"),
        ("250.0.0.1", "reserved"),
        ("8.8.8.8", "internet"),
        ("2606:4700::1111", "internet"),
    ],
)
def test_address_is_in_its_special_network(text: str, name: str) -> None:
    assert NetworkTable().name_of(address(text)) == name


def test_networks_of_the_user_come_first_and_the_longest_prefix_wins() -> None:
    own = [("office", "10.1.0.0/16"), ("printers", "10.1.9.0/24"), ("all", "::/0"), ("cluster", "fd00:1::/32")]
    table = NetworkTable([(name, ipaddress.ip_network(network)) for name, network in own])
    found = [table.name_of(address(text)) for text in ("10.1.2.3", "10.1.9.3", "10.2.0.1", "fd00:1::1")]
    assert found == ["office", "printers", "all", "cluster"]


def test_memory_of_addresses_is_bounded() -> None:
    table = NetworkTable()
    for number in range(KEPT + 10):
        table.name_of(number.to_bytes(16, "big"))
    assert len(table._memo) <= KEPT


@given(st.binary(min_size=16, max_size=16))
def test_every_address_has_a_name(octets: bytes) -> None:
    assert NetworkTable().name_of(octets)


@given(st.ip_addresses())
def test_private_networks_are_those_of_the_standard_library(given_address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    name = NetworkTable().name_of(address(str(given_address)))
    if name == "internet" and given_address.version == 4:
        assert given_address.is_global or given_address in ipaddress.ip_network("192.0.0.0/24")
