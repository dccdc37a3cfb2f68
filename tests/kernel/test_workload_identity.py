"""Identity on a real kernel: fake pods in real cgroups and network namespaces are told apart; nothing of them stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE_SECONDS

from collector.batch import Batch
from collector.clock import SystemClock
from collector.enrich.enrichers import build_enrichers
from collector.enrich.identity import build_identities
from collector.enrich.names import NameTable
from collector.settings import Settings
from collector.source.cgroup_files import cgroup_seed, find_cgroup2
from collector.source.kernel_source import KernelSource
from collector.source.settings_for_kernel import source_settings
from collector.workload import Workload, WorkloadKind

pytestmark = pytest.mark.kernel

PROBES = Path(__file__).resolve().parents[2] / "probes"
OWN = os.getpid()
UID = f"{OWN:08x}-5f60-4718-8293-a4b5c6d7e8f9"
OTHER_UID = f"{OWN:08x}-1111-4718-8293-a4b5c6d7e8f9"
ONE, TWO = f"{OWN:064x}", f"{OWN + 1:064x}"
SLICE = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"

FORMS = {
    f"/kubepods/burstable/pod{UID}/{ONE}": (WorkloadKind.POD, UID, ONE),
    f"/kubepods/pod{OTHER_UID}/{TWO}": (WorkloadKind.POD, OTHER_UID, TWO),
    f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{ONE}.scope": (WorkloadKind.POD, UID, ONE),
    f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/crio-{TWO}.scope": (WorkloadKind.POD, UID, TWO),
    f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/docker-{TWO}.scope": (WorkloadKind.POD, UID, TWO),
    f"/honeyguide.service/{SLICE}:cri-containerd:{ONE}": (WorkloadKind.POD, UID, ONE),
    f"/docker/{ONE}/kubelet.slice/kubelet-kubepods.slice/kubelet-{SLICE}/cri-containerd-{TWO}.scope": (
        WorkloadKind.POD,
        UID,
        TWO,
    ),
    f"/docker/{ONE}": (WorkloadKind.CONTAINER, "", ONE),
    f"/machine.slice/libpod-{ONE}.scope/container": (WorkloadKind.CONTAINER, "", ONE),
    f"/system.slice/honeyguide-{OWN}@a\\x2db.service": (WorkloadKind.UNIT, "", ""),
}


class Node:
    """The running kernel, read and enriched as the agent does it; every batch is kept."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        settings = Settings(probes=("process", "tcp"), snapshot_interval=0.5)
        self.source = KernelSource(source_settings(settings, [PROBES], {"cgroups": cgroup_seed}), self.clock)
        self.identities = build_identities()
        self.enrichers = build_enrichers(self.identities, NameTable())
        self.batches: list[Batch] = []

    def read(self) -> None:
        for batch in self.source.read():
            self.identities.observe(batch)
            for enricher in self.enrichers:
                enricher.enrich(batch)
            self.batches.append(batch)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.read()
            if condition():
                return
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    def owners(self, record: str, column: str = "local", **where: object) -> list[Workload]:
        """The workloads in `column` of all rows with these values."""
        found: list[Workload] = []
        for batch in self.batches:
            if batch.schema.record == record:
                which = np.ones(len(batch), bool)
                for name, value in where.items():
                    names = {known: number for number, known in batch.schema.field(name).names.items()}
                    which &= batch[name] == (names[str(value)] if names else value)
                found += [self.identities.workload(number) for number in batch[column][which].tolist()]
        return found

    def wait_for_owner(self, record: str, column: str = "local", **where: object) -> Workload:
        self.wait_for(lambda: bool(self.owners(record, column, **where)), f"{record} where {where}")
        return self.owners(record, column, **where)[-1]


@pytest.fixture
def node() -> Iterator[Node]:
    opened = Node()
    opened.source.open()
    try:
        opened.read()
        yield opened
    finally:
        opened.source.close()


class Cgroups:
    """Directories in a cgroup hierarchy, removed with all that were made on the way to them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[Path] = []

    def make(self, path: str) -> Path:
        place = self.root
        for part in path.strip("/").split("/"):
            place /= part
            if not place.exists():
                place.mkdir()
                self.made.append(place)
        return place

    def remove(self) -> None:
        for place in reversed(self.made):
            deadline = time.monotonic() + 5
            while place.exists() and time.monotonic() < deadline:
                with suppress(OSError):
                    place.rmdir()
                    break
                time.sleep(0.02)  # the last process is still leaving


@pytest.fixture
def unified() -> Iterator[Cgroups]:
    mounts = [Path(place) for root, place in find_cgroup2(Path("/proc/self/mountinfo").read_text()) if not root]
    if not mounts or not os.access(mounts[0], os.W_OK):
        pytest.skip("no writable cgroup v2 hierarchy")
    cgroups = Cgroups(mounts[0])
    yield cgroups
    cgroups.remove()


@pytest.fixture
def memory() -> Iterator[Cgroups]:
    place = Path("/sys/fs/cgroup/memory")
    if not (place / "cgroup.procs").exists() or not os.access(place, os.W_OK):
        pytest.skip("no writable v1 memory hierarchy")
    cgroups = Cgroups(place)
    yield cgroups
    cgroups.remove()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Whatever is put in here is ended."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


def start_in(cgroup: Path, command: list[str]) -> subprocess.Popen[str]:
    """Moves itself into the cgroup, then becomes `command`."""
    move = f"echo $$ > '{cgroup}/cgroup.procs' && exec \"$@\""
    return subprocess.Popen(["/bin/sh", "-c", move, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("path", FORMS)
def test_process_of_5_ms_is_known_by_its_cgroup_even_when_both_are_gone(node: Node, unified: Cgroups, path: str) -> None:
    kind, uid, container = FORMS[path]
    cgroup = unified.make(path)
    process = start_in(cgroup, ["/bin/true"])
    process.communicate()
    unified.remove()
    executed = node.wait_for_owner("process_event", process=process.pid, event="exited")
    assert (executed.kind, executed.pod_uid, executed.container_id) == (kind, uid, container)
    if kind is WorkloadKind.UNIT:
        assert executed.name == f"honeyguide-{OWN}@a-b.service"


def test_cgroup_older_than_the_agent_is_known(unified: Cgroups, started: list[subprocess.Popen[str]]) -> None:
    started.append(start_in(unified.make(f"/kubepods/pod{UID}/{ONE}"), ["/bin/cat"]))
    node = Node()
    with ExitStack() as stack:
        node.source.open()
        stack.callback(node.source.close)
        found = node.wait_for_owner("process_event", process=started[0].pid, event="existing")
        assert (found.pod_uid, found.container_id) == (UID, ONE)


@pytest.mark.parametrize("before", [True, False], ids=["older than the agent", "newer than the agent"])
def test_child_belongs_to_the_v1_container_of_its_parent(
    memory: Cgroups, started: list[subprocess.Popen[str]], before: bool
) -> None:
    node = Node()
    with ExitStack() as stack:
        stack.callback(node.source.close)
        if not before:
            node.source.open()
            node.read()
        started.append(start_in(memory.make(f"/docker/{ONE}"), ["/bin/sh", "-c", "read line; /bin/true & wait; cat"]))
        shell, pipe = started[0], started[0].stdin
        assert pipe is not None
        if before:
            wait_until(lambda: f"/docker/{ONE}" in Path(f"/proc/{shell.pid}/cgroup").read_text())
            node.source.open()
            node.read()
        pipe.write("go\n")
        pipe.flush()
        found = node.wait_for_owner("process_event", parent=shell.pid, event="exited")
        assert (found.kind, found.container_id) == (WorkloadKind.CONTAINER, ONE)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


TALK = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.1", 8080))
client = socket.socket()
client.bind(("127.0.0.1", 40000))
client.connect(("127.0.0.1", 8080))
other, _ = server.accept()
client.sendall(b"x" * 100)
other.recv(100)
print("talking", flush=True)
sys.stdin.read()
"""


def test_pods_with_the_same_addresses_are_told_apart(node: Node, unified: Cgroups, started: list[subprocess.Popen[str]]) -> None:
    """Two network namespaces, in each the very same connection: 127.0.0.1:40000 to 127.0.0.1:8080."""
    namespaces = {}
    for uid, container in ((UID, ONE), (OTHER_UID, TWO)):
        command = ["unshare", "--net", sys.executable, "-c", TALK]
        started.append(start_in(unified.make(f"/kubepods/pod{uid}/{container}"), command))
        stdout = started[-1].stdout
        assert stdout is not None
        assert stdout.readline() == "talking\n"
        namespaces[uid] = Path(f"/proc/{started[-1].pid}/ns/net").stat().st_ino
    for uid, netns in namespaces.items():
        for port in (8080, 40000):
            where = {"netns": netns, "local_port": port, "event": "open"}
            assert node.wait_for_owner("tcp_connection", **where).pod_uid == uid
            assert node.owners("tcp_connection", "peer", **where)[-1].pod_uid == uid


SERVE = """
import os, socket, sys
sys.stdin.readline()
server = socket.create_server(("10.9.8.1", 8080))
print("listening", flush=True)
other, _ = server.accept()
sys.stdin.read()
"""
CALL = """
import os, socket, sys
sys.stdin.readline()
client = socket.create_connection(("10.9.8.1", 8080))
print("connected", flush=True)
sys.stdin.read()
"""


def test_both_pods_of_a_connection_between_namespaces_are_known(
    node: Node, unified: Cgroups, started: list[subprocess.Popen[str]]
) -> None:
    for uid, container, script in ((UID, ONE, SERVE), (OTHER_UID, TWO, CALL)):
        command = ["unshare", "--net", sys.executable, "-c", script]
        started.append(start_in(unified.make(f"/kubepods/pod{uid}/{container}"), command))
    join_namespaces(*(process.pid for process in started))
    for process in started:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        process.stdout.readline()
    for port, owner, peer in (("local_port", UID, OTHER_UID), ("remote_port", OTHER_UID, UID)):
        where = {
            port: 8080,
            "event": "open",
            "local_address": np.void(bytes(10) + b"\xff\xff\x0a\x09\x08" + bytes([1 + (port != "local_port")])),
        }
        assert node.wait_for_owner("tcp_connection", **where).pod_uid == owner
        node.wait_for(
            lambda where=where, peer=peer: node.owners("tcp_connection", "peer", **where)[-1].pod_uid == peer, "the peer"
        )


def join_namespaces(server: int, client: int) -> None:
    """A veth pair with 10.9.8.1 at the server and 10.9.8.2 at the client; it goes with the namespaces."""
    own = Path("/proc/self/ns/net").stat().st_ino
    for process in (server, client):
        wait_until(lambda process=process: Path(f"/proc/{process}/ns/net").stat().st_ino != own)
    inside = ["nsenter", "--net", "--target"]
    for command in (
        [*inside, str(server), "ip", "link", "add", "hg0", "type", "veth", "peer", "name", "hg1", "netns", str(client)],
        [*inside, str(server), "ip", "address", "add", "10.9.8.1/24", "dev", "hg0"],
        [*inside, str(client), "ip", "address", "add", "10.9.8.2/24", "dev", "hg1"],
        [*inside, str(server), "ip", "link", "set", "hg0", "up"],
        [*inside, str(client), "ip", "link", "set", "hg1", "up"],
    ):
        subprocess.run(command, check=True, capture_output=True)


def test_table_of_processes_says_what_proc_says(node: Node) -> None:
    """Executable, parent, user, network namespace and cgroup of every process that lives through the comparison."""
    node.read()
    compared = 0
    for process in node.identities.processes.processes():
        place = Path(f"/proc/{process.number}")
        with suppress(OSError):
            shown = str((place / "exe").readlink()).removesuffix(" (deleted)")
            status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)
            netns = (place / "ns/net").stat().st_ino
            if process.ended_at or not shown.endswith(process.executable):
                node.read()  # it ran another program between the two looks
            if process.ended_at:
                continue
            assert shown.endswith(process.executable.removeprefix("/")), process
            assert len(process.executable) == len(shown) or len(process.executable) == 127
            assert (process.parent, process.user, process.netns) == (int(status["PPid"]), int(status["Uid"].split()[0]), netns)
            compared += 1
    assert compared > 1


def test_books_of_processes_and_cgroups_balance(node: Node, unified: Cgroups) -> None:
    for number in range(23):
        start_in(unified.make(f"/docker/{number:064x}"), ["/bin/true"]).communicate()

    def books_are_closed() -> bool:
        """The node does not stand still for the test: the columns may be read while one is being counted."""
        books = [book for book in node.source.books() if book.probe == "process"]
        return all(book.balanced and book.lost == 0 for book in books)

    node.wait_for(books_are_closed, "books of the process probe")
