"""NAT on a real kernel: a connection to a service's address is drawn to the process behind it, from both sides."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from nat_network import (
    CLIENT,
    SERVER,
    SERVER_PORT,
    SERVICE,
    SERVICE_PORT,
    Network,
    VirtualServerNetwork,
    missing_for_translation,
    missing_for_virtual_servers,
    translating_network,
)
from patience import PATIENCE_SECONDS

from collector.batch import Batch
from collector.clock import SystemClock
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import build_identities
from collector.enrich.names import NameTable
from collector.enrich.translations import Translations
from collector.probe_status import ProbeState
from collector.settings import Settings
from collector.source.conntrack_socket import CLONE_NEWNET
from collector.source.conntrack_source import ConntrackSource
from collector.source.kernel_source import KernelSource
from collector.source.node_source import NodeSource
from collector.source.settings_for_kernel import source_settings

pytestmark = pytest.mark.kernel

PROBES = Path(__file__).resolve().parents[2] / "probes"
FORTH, BACK = ("hg-shop", "hg-cart"), ("hg-cart", "hg-shop")
ADDRESSES = ("original_destination", "reply_source")
# Named differently, so that who is who can be seen: a program's name is its workload here.
SERVE = """
import socket, sys
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
held = []
while True:
    connection, _ = listener.accept()
    connection.sendall(connection.recv(100))
    held.append(connection)
"""
ASK = """
import socket, sys
held = []
for _ in range(5):
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
    connection.sendall(b"hello")
    assert connection.recv(100) == b"hello"
    held.append(connection)
print("answered", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    refused = missing_for_translation()
    if refused:
        pytest.skip(refused)
    with translating_network() as made:
        yield made


class Node:
    """The agent's way from the kernel to the peer, with the router's connection tracking in the place of the host's."""

    def __init__(self, network: Network, *, translate: bool = True) -> None:
        clock = SystemClock()
        settings = Settings(probes=("process", "tcp"), snapshot_interval=0.5)
        self.conntrack = ConntrackSource(clock, network.place(network.router), enabled=translate)
        self.source = NodeSource(KernelSource(source_settings(settings, [PROBES]), clock), self.conntrack)
        self.identities, self.translations = build_identities(), Translations()
        self.enrichers = build_enrichers(self.identities, NameTable(), translations=self.translations)
        self.batches: list[Batch] = []

    def read(self) -> None:
        for batch in self.source.read():
            self.identities.observe(batch)
            if batch.schema.record == "address_translation":
                self.translations.learn(batch)
            for enricher in self.enrichers:
                enricher.enrich(batch)
            self.batches.append(batch)

    def read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition() and time.monotonic() < deadline:
            self.read()
            time.sleep(0.02)

    def edges(self, role: str) -> set[tuple[str, str]]:
        """(local, peer) of every row of that role about a connection between the two programs."""
        found = set()
        for batch in self.batches:
            if batch.schema.record != "tcp_connection":
                continue
            names = {known: number for number, known in batch.schema.field("role").names.items()}
            ports = np.isin(batch["remote_port" if role == "client" else "local_port"], (SERVICE_PORT, SERVER_PORT))
            for row in np.flatnonzero((batch["role"] == names[role]) & ports):
                ends = (self.identities.workload(int(batch[column][row])).name for column in ("local", "peer"))
                found.add(tuple(ends))
        return found  # type: ignore[return-value]


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, Path]:
    """Interpreters under names of their own."""
    made = {name: tmp_path / name for name in ("hg-shop", "hg-cart")}
    for place in made.values():
        place.symlink_to(sys.executable)
    return made


@pytest.fixture
def started(programs: dict[str, Path]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    with ExitStack() as stack:

        def start(namespace: str, program: str, *arguments: str) -> subprocess.Popen[str]:
            enter = ["ip", "netns", "exec", namespace, str(programs[program]), "-c", *arguments]
            process = subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def talk(network: Network, started: Callable[..., subprocess.Popen[str]]) -> None:
    """Some connections to the service, which stay until the test ends."""
    server = started(network.server, "hg-cart", SERVE, str(SERVER_PORT))
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    client = started(network.client, "hg-shop", ASK, SERVICE, str(SERVICE_PORT))
    assert client.stdout is not None
    assert client.stdout.readline() == "answered\n"


@pytest.mark.parametrize("masqueraded", [False, True])
def test_a_connection_to_a_service_is_drawn_to_the_process_behind_it(
    network: Network, started: Callable[..., subprocess.Popen[str]], masqueraded: bool
) -> None:
    if masqueraded:
        network.masquerade()
    check_both_ends(network, started)


@pytest.mark.parametrize("masqueraded", [False, True])
def test_a_connection_through_ipvs_is_drawn_to_the_process_behind_it(
    started: Callable[..., subprocess.Popen[str]], masqueraded: bool
) -> None:
    refused = missing_for_translation() or missing_for_virtual_servers()
    if refused:
        pytest.skip(refused)
    with translating_network(VirtualServerNetwork) as network:
        if masqueraded:
            network.masquerade()
        check_both_ends(network, started)


def check_both_ends(network: Network, started: Callable[..., subprocess.Popen[str]]) -> None:
    node = Node(network)
    node.source.open()
    try:
        assert node.conntrack.statuses()[0].state is ProbeState.RUNNING
        node.read()
        talk(network, started)
        node.read_until(lambda: FORTH in node.edges("client") and BACK in node.edges("server"))
        node.batches.clear()  # what came before both ends were known
        node.read_until(lambda: bool(node.edges("client")) and bool(node.edges("server")))
        assert node.edges("client") == {FORTH}
        assert node.edges("server") == {BACK}
        [book] = node.conntrack.books()
        assert (book.balanced, book.lost) == (True, 0)
        assert book.emitted >= 5
    finally:
        node.source.close()


def test_without_translations_the_server_is_not_known_to_its_client(
    network: Network, started: Callable[..., subprocess.Popen[str]]
) -> None:
    node = Node(network, translate=False)
    node.source.open()
    try:
        node.read()
        talk(network, started)
        for _ in range(2):
            node.batches.clear()
            node.read_until(lambda: bool(node.edges("client")) and bool(node.edges("server")))
        assert {peer for _, peer in node.edges("client")} == {"private"}
    finally:
        node.source.close()


def test_connections_that_keep_their_addresses_do_not_wake_anybody_up(network: Network) -> None:
    """And a translated one is told with its addresses, whether it began before the agent or after."""
    source = ConntrackSource(clock := SystemClock(), network.place(network.router))
    send(network, SERVICE, SERVICE_PORT)
    clock.measure()
    source.open()
    try:
        rows = wait_for_rows(source, lambda seen: "table_read" in seen)
        assert (SERVICE, SERVER) in rows.values()
        for _ in range(20):
            send(network, SERVER, SERVER_PORT)
        send(network, SERVICE, SERVICE_PORT)
        rows = wait_for_rows(source, lambda seen: "created" in seen)
        assert rows["created"] == (SERVICE, SERVER)
        assert source.books()[0].filtered == 0
    finally:
        source.close()


def wait_for_rows(source: ConntrackSource, satisfied: Callable[[dict[str, tuple[str, str]]], bool]) -> dict[str, tuple[str, str]]:
    """event -> (address before, address after) of its last row."""
    seen: dict[str, tuple[str, str]] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not satisfied(seen) and time.monotonic() < deadline:
        for batch in source.read():
            names = batch.schema.field("event").names
            for row in batch.rows:
                ends = (
                    socket.inet_ntop(socket.AF_INET, bytes(row[name])[12:]) for name in ("original_destination", "reply_source")
                )
                seen[names[int(row["event"])]] = tuple(ends)  # type: ignore[assignment]
        time.sleep(0.02)
    return seen


def send(network: Network, address: str, port: int) -> None:
    """One datagram from the client's namespace, each from a port of its own; nobody needs to listen."""
    opened: list[socket.socket] = []
    thread = threading.Thread(target=lambda: opened.append(udp_socket_in(network.place(network.client))))
    thread.start()
    thread.join()
    with opened[0] as sender:
        sender.sendto(b"hello", (address, port))


def udp_socket_in(namespace: Path) -> socket.socket:
    """To be called by a thread that ends afterwards: it stays in the namespace."""
    place = os.open(namespace, os.O_RDONLY)
    try:
        assert ctypes.CDLL(None, use_errno=True).setns(place, CLONE_NEWNET) == 0
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((CLIENT, 0))
        return opened
    finally:
        os.close(place)
