"""Which rows a question is about: names become numbers once, then whole columns are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network

import numpy as np

from collector.batch import Column, Rows
from collector.store.parameter_error import ParameterError, check_names
from collector.store.row_tests import SideTest, Test, all_of, code_test, end_column, process_test, workload_test
from collector.store.workload_names import WorkloadNames

Network = IPv4Network | IPv6Network
Names = Mapping[str, Sequence[str]]
MAPPED_IPV4 = int(IPv6Address("::ffff:0:0"))
HALF = 2**64 - 1
LISTENING = ("listening", "listen_ended")


@dataclass(frozen=True, slots=True)
class EndFilter:
    """What one end of a flow must be. Empty: anything. Within a field any value may fit, all fields must.

    The fields that name a workload (workloads to labels) must hold for one and the same workload.
    """

    workloads: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    ports: tuple[int, ...] = ()

    def workload_numbers(self, names: WorkloadNames) -> set[int] | None:
        """Numbers of the workloads that fit; None when any does."""
        asked = (
            (self.workloads, names.named),
            (self.namespaces, names.in_namespaces),
            (self.pods, names.of_pods),
            (self.containers, names.of_containers),
            (self.nodes, names.on_nodes),
            (self.labels, names.labelled),
        )
        sets = [find(patterns) for patterns, find in asked if patterns]
        return set.intersection(*sets) if sets else None


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Which flows. either: one of the two ends must fit, for each of its questions by itself.

    since_ns, until_ns: unix ns; a flow fits that existed at some time between them. Flows of listening sockets are
    left out unless `states` or `roles` ask for them.
    """

    either: EndFilter = EndFilter()
    local: EndFilter = EndFilter()
    peer: EndFilter = EndFilter()
    protocols: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None


def compile_filter(asked: FlowFilter, tables: Names, names: WorkloadNames) -> Test:
    """A function from FLOW rows, shape (n,), to a mask. Raises ParameterError when `asked` names what cannot be."""
    return all_of([*_end_tests(asked, names), *_code_tests(asked, tables), *_time_tests(asked)])


def _end_tests(asked: FlowFilter, names: WorkloadNames) -> list[Test]:
    if asked.peer.processes:
        raise ParameterError("process", "Only this node's end of a flow has a process.", "side=local or side=either with process")
    tests: list[Test] = []
    for end, sides in ((asked.local, ("local",)), (asked.peer, ("peer",)), (asked.either, ("local", "peer"))):
        numbers = end.workload_numbers(names)
        if numbers is not None:
            tests.append(any_side(sides, workload_test(numbers)))
        if end.networks:
            tests.append(any_side(sides, _network_test(end.networks)))
        if end.ports:
            tests.append(any_side(sides, _port_test(end.ports)))
        if end.processes:
            tests.append(process_test(end.processes))
    return tests


def _port_test(ports: tuple[int, ...]) -> SideTest:
    wanted = np.array(ports, np.int64)
    return lambda rows, side: np.isin(rows[end_column(side, "port")], wanted)


def any_side(sides: tuple[str, ...], test: SideTest) -> Test:
    if len(sides) == 1:
        return lambda rows: test(rows, sides[0])
    return lambda rows: test(rows, "local") | test(rows, "peer")


def _network_test(networks: tuple[Network, ...]) -> SideTest:
    halves = [_network_halves(network) for network in networks]

    def test(rows: Rows, side: str) -> Column:
        address = rows[end_column(side, "address")]
        high, low = address[:, 0], address[:, 1]
        mask = np.zeros(len(rows), bool)
        for high_mask, high_bits, low_mask, low_bits in halves:
            mask |= ((high & high_mask) == high_bits) & ((low & low_mask) == low_bits)
        return mask

    return test


def _network_halves(network: Network) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Mask and bits of the high half, mask and bits of the low half, IPv4 as ::ffff:a.b.c.d."""
    bits, mask = int(network.network_address), int(network.netmask)
    if isinstance(network, IPv4Network):
        bits, mask = MAPPED_IPV4 | bits, (2**128 - 2**32) | mask
    return np.uint64(mask >> 64), np.uint64(bits >> 64), np.uint64(mask & HALF), np.uint64(bits & HALF)


def _code_tests(asked: FlowFilter, tables: Names) -> list[Test]:
    tests = []
    columns = (("protocol", "protocol"), ("role", "role"), ("state", "event"), ("outcome", "outcome"))
    for parameter, column in columns:
        wanted: tuple[str, ...] = getattr(asked, f"{parameter}s")
        if wanted:
            check_names(parameter, wanted, tables[column])
            tests.append(code_test(column, [tables[column].index(name) for name in wanted]))
    if not asked.states and "listener" not in asked.roles:
        codes = [code for code, name in enumerate(tables["event"]) if name not in LISTENING]
        tests.append(code_test("event", codes))
    return tests


def _time_tests(asked: FlowFilter) -> list[Test]:
    tests: list[Test] = []
    if asked.since_ns is not None:
        since = asked.since_ns
        tests.append(lambda rows: (rows["ended_at"] == 0) | (rows["ended_at"] >= since))
    if asked.until_ns is not None:
        until = asked.until_ns
        tests.append(lambda rows: rows["started_at"] <= until)
    return tests
