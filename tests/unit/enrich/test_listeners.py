"""Who listens at an address: in which namespaces to look, and when not to answer."""

from __future__ import annotations

from collector.enrich.listeners import ANY_IPV4, ANY_IPV6, PLACES, Listeners
from collector.workload import UNKNOWN
from enrich.batches import SECOND, address

HOST, POD, OTHER_POD = 1, 2, 3
POD_ADDRESS, LOOPBACK = address("10.9.0.1"), address("127.0.0.1")


def listeners(maximum: int = 100) -> Listeners:
    return Listeners(maximum, 60 * SECOND)


def find(table: Listeners, netns: int, at: bytes, port: int = 80, loopback: bool = False, now: int = 0) -> int:
    return table.find("tcp", netns, at, port, loopback=loopback, now=now).number


def test_socket_bound_to_the_address_is_found_where_the_address_is() -> None:
    table = listeners()
    table.add("tcp", POD, POD_ADDRESS, 80, 70, 0)
    assert find(table, HOST, POD_ADDRESS) == UNKNOWN, "nobody was seen using that address yet"
    table.hold(POD, POD_ADDRESS, 0)
    assert find(table, HOST, POD_ADDRESS) == 70
    assert find(table, HOST, POD_ADDRESS, port=81) == UNKNOWN


def test_socket_bound_to_all_addresses_answers_too() -> None:
    for wildcard in (ANY_IPV4, ANY_IPV6):
        table = listeners()
        table.add("tcp", POD, wildcard, 80, 70, 0)
        table.hold(POD, POD_ADDRESS, 0)
        assert find(table, HOST, POD_ADDRESS) == 70


def test_ipv4_socket_does_not_answer_ipv6() -> None:
    table = listeners()
    table.add("tcp", POD, ANY_IPV4, 80, 70, 0)
    table.hold(POD, address("2001:db8::1"), 0)
    assert find(table, HOST, address("2001:db8::1")) == UNKNOWN


def test_loopback_is_looked_for_in_the_own_namespace_only() -> None:
    table = listeners()
    table.add("tcp", POD, LOOPBACK, 80, 70, 0)
    table.hold(POD, LOOPBACK, 0)
    assert find(table, HOST, LOOPBACK, loopback=True) == UNKNOWN
    assert find(table, POD, LOOPBACK, loopback=True) == 70


def test_two_namespaces_with_the_same_address_are_ambiguous() -> None:
    table = listeners()
    for netns, number in ((POD, 70), (OTHER_POD, 80)):
        table.add("tcp", netns, ANY_IPV4, 80, number, 0)
        table.hold(netns, POD_ADDRESS, 0)
    assert find(table, HOST, POD_ADDRESS) == UNKNOWN
    assert find(table, POD, POD_ADDRESS) == 70, "its own address leads nowhere else"


def test_two_sockets_of_one_workload_are_no_doubt() -> None:
    table = listeners()
    table.hold(POD, POD_ADDRESS, 0)
    table.add("tcp", POD, ANY_IPV4, 80, 70, 0)
    table.add("tcp", POD, ANY_IPV6, 80, 70, 0)
    assert find(table, HOST, POD_ADDRESS) == 70
    table.add("tcp", POD, ANY_IPV6, 80, 80, 0)
    assert find(table, HOST, POD_ADDRESS) == UNKNOWN


def test_very_address_comes_before_all_addresses() -> None:
    table = listeners()
    table.hold(POD, POD_ADDRESS, 0)
    table.add("tcp", POD, ANY_IPV4, 80, 70, 0)
    table.add("tcp", POD, POD_ADDRESS, 80, 80, 0)
    assert find(table, HOST, POD_ADDRESS) == 80


def test_closed_socket_does_not_answer() -> None:
    table = listeners()
    table.hold(POD, POD_ADDRESS, 0)
    table.add("tcp", POD, ANY_IPV4, 80, 70, 0)
    table.remove("tcp", POD, ANY_IPV4, 80)
    table.remove("tcp", POD, ANY_IPV4, 80)
    assert find(table, HOST, POD_ADDRESS) == UNKNOWN
    assert (table.ports("tcp"), table.count) == ([], 0)


def test_socket_not_seen_for_long_does_not_answer() -> None:
    table = listeners()
    table.hold(POD, POD_ADDRESS, 100 * SECOND)
    table.add("tcp", POD, ANY_IPV4, 80, 70, 0)
    assert find(table, HOST, POD_ADDRESS, now=100 * SECOND) == UNKNOWN


def test_owner_that_is_found_later_is_kept() -> None:
    table = listeners()
    table.hold(POD, POD_ADDRESS, 0)
    for number in (UNKNOWN, 70, UNKNOWN):
        table.add("tcp", POD, ANY_IPV4, 80, number, 0)
    assert find(table, HOST, POD_ADDRESS) == 70


def test_ports_of_protocols_have_nothing_to_do_with_each_other() -> None:
    table = listeners()
    table.hold(POD, POD_ADDRESS, 0)
    table.add("udp", POD, ANY_IPV4, 80, 70, 0)
    assert find(table, HOST, POD_ADDRESS) == UNKNOWN
    assert (table.ports("udp"), table.ports("tcp")) == ([80], [])


def test_full_table_refuses_newcomers_until_others_are_stale() -> None:
    table = listeners(maximum=2)
    for port in (1, 2, 3):
        table.add("tcp", POD, ANY_IPV4, port, 70, 0)
    assert (table.count, table.refused) == (2, 1)
    table.add("tcp", POD, ANY_IPV4, 3, 70, 100 * SECOND)
    assert (table.count, table.ports("tcp")) == (1, [3])


def test_addresses_and_their_namespaces_are_bounded() -> None:
    table = listeners(maximum=2)
    for last in range(4):
        table.hold(POD, address(f"10.0.0.{last}"), 0)
    assert table.refused == 2
    for netns in range(2 * PLACES):
        table.hold(netns, address("10.0.0.0"), 0)
    assert table.refused > PLACES - 2
    table.hold(POD, address("10.0.0.9"), 100 * SECOND)
    table.add("tcp", POD, ANY_IPV4, 80, 70, 100 * SECOND)
    assert find(table, HOST, address("10.0.0.9"), now=100 * SECOND) == 70


def test_socket_answers_for_connections_since_it_or_another_of_its_workload_listens() -> None:
    table = listeners()
    table.hold(POD, POD_ADDRESS, 0)
    for number, since, found in ((70, 5, 5), (70, 9, 5), (0, 3, 3), (80, 20, 20)):
        table.add("tcp", POD, POD_ADDRESS, 80, number, 0, since)
        assert table.find("tcp", HOST, POD_ADDRESS, 80, loopback=False, now=0).since == found
