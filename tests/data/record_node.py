"""Makes node.recording anew: a small node of real services, watched by `honeyguide record` while they are used.

    ./test-kernels -k 6.12 -t 600 .venv/bin/python tests/data/record_node.py > tests/data/node.recording

In a guest, because a recording holds all of its machine, and this one is given away. Root; the file goes to standard output.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from node_services import ORDERS, configure_nginx, report_statements, shop_rounds

NODE, POD = "10.80.0.1", "10.80.0.2"
POD_UID = "8f3a2b1c-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
CONTAINER = "3f9c1d7e5b2a4860917c3e5d8f1a2b4c6d7e8f90a1b2c3d4e5f60718293a4b5c"
POD_SLICE = f"kubepods-burstable-pod{POD_UID.replace('-', '_')}.slice"
POD_CGROUP = f"kubepods.slice/kubepods-burstable.slice/{POD_SLICE}/cri-containerd-{CONTAINER}.scope"
SHOP = "shop"  # the pod's network namespace
POSTGRESQL = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), Path("/nonexistent"))
PROGRAMS = ("nginx", "redis-server", "dnsmasq", "curl", "nghttp", "psql", "redis-cli", "dig", "openssl", "runuser")
PATIENCE_SECONDS = 120.0


class SmallNode:
    """Services in cgroups as systemd and a kubelet make them; a pod with a network namespace. `ends` undoes it all."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder, self._ends = folder, ends
        self._cgroups = Path(subprocess.check_output(["findmnt", "-nt", "cgroup2", "-o", "TARGET"], text=True).split()[0])

    def cgroup(self, path: str) -> Path:
        place = self._cgroups
        for part in path.split("/"):
            place /= part
            if not place.exists():
                place.mkdir()
                self._ends.callback(remove_cgroup, place)
        return place

    def unit(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        """Starts a service; its words go to a file beside its data."""
        return self.start(f"system.slice/{name}.service", command)

    def start(self, cgroup: str, command: Sequence[object]) -> subprocess.Popen[bytes]:
        into = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
        with (self.folder / "words").open("ab") as words:
            process = subprocess.Popen(
                ["sh", "-c", into, self.cgroup(cgroup), *map(str, command)], stdin=subprocess.DEVNULL, stdout=words, stderr=words
            )
        self._ends.callback(end, process)
        return process

    def make_network(self) -> None:
        for words in (
            ["netns", "add", SHOP],
            ["link", "add", "node0", "type", "veth", "peer", "name", "eth0", "netns", SHOP],
            ["addr", "add", f"{NODE}/24", "dev", "node0"],
            ["link", "set", "node0", "up"],
            ["-n", SHOP, "addr", "add", f"{POD}/24", "dev", "eth0"],
            ["-n", SHOP, "link", "set", "eth0", "up"],
            ["-n", SHOP, "link", "set", "lo", "up"],
        ):
            subprocess.run(["ip", *words], check=True)
            if words[0] == "netns":
                self._ends.callback(subprocess.run, ["ip", "netns", "del", SHOP], check=False)
        resolver = Path("/etc/netns") / SHOP
        resolver.mkdir(parents=True)
        self._ends.callback(shutil.rmtree, resolver)
        (resolver / "resolv.conf").write_text(f"nameserver {NODE}\noptions timeout:1 attempts:1\n")


def remove_cgroup(place: Path) -> None:
    """As soon as the last process in it is gone for good."""
    deadline = time.monotonic() + 5
    while place.exists() and time.monotonic() < deadline:
        with suppress(OSError):
            place.rmdir()


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection((NODE, port)).close()
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


def start_services(node: SmallNode) -> None:
    """nginx, PostgreSQL, Redis, dnsmasq and a service of our own behind nginx; back when they listen."""
    data = node.folder / "postgresql"
    data.mkdir()
    shutil.chown(data, "postgres")
    as_owner = ["runuser", "-u", "postgres", "--"]
    make = [*as_owner, POSTGRESQL / "initdb", "-D", data, "-U", "app", "--auth=trust", "--no-sync", "--locale=C"]
    subprocess.run([str(word) for word in make], check=True, stdout=subprocess.DEVNULL)
    options = ("fsync=off", "autovacuum=off", f"listen_addresses={NODE}", "unix_socket_directories=", "shared_buffers=16MB")
    flags = [word for option in options for word in ("-c", option)]
    (data / "pg_hba.conf").write_text("host all all samenet trust\n")
    node.unit("postgresql", *as_owner, POSTGRESQL / "postgres", "-D", data, *flags)
    node.unit("redis", "redis-server", "--bind", NODE, "--protected-mode", "no", "--save", "", "--dir", node.folder)
    names = (
        "--no-resolv",
        "--no-hosts",
        f"--address=/shop.example/{NODE}",
        "--local=/example/",
        "--server=/silent.test/10.80.0.9",
    )
    place = ("--user=root", f"--listen-address={NODE}", "--bind-interfaces", f"--pid-file={node.folder}/dnsmasq.pid")
    node.unit("dnsmasq", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", *place, *names)
    for port in (5432, 6379, 53):
        wait_for_port(port)
    node.unit("orders", "python3", "-c", ORDERS, NODE)
    node.unit("nginx", "nginx", "-c", configure_nginx(node.folder, NODE), "-e", node.folder / "errors")
    for port in (8000, 80, 8080, 443):
        wait_for_port(port)


@contextmanager
def recording(target: Path) -> Iterator[None]:
    """Within the block everything is recorded: it begins when the probes run."""
    command = [sys.executable, "-m", "collector", "record", "-o", str(target), "--seconds", "600", "--snapshot-interval", "2s"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            said = b""
            while b" rows" not in said:
                part = os.read(process.stderr.fileno(), 4096)
                said += part
                if not part:
                    raise SystemExit(said.decode())
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_SECONDS)


def use_services(node: SmallNode) -> None:
    """A shop in the pod and a report on the node; then the time in which a lookup without an answer is given up."""
    in_pod = ["ip", "netns", "exec", SHOP]
    shop = node.start(POD_CGROUP, [*in_pod, "bash", "-c", shop_rounds(NODE)])
    report = node.unit("report", "psql", "-q", "-h", NODE, "-U", "app", "postgres", *report_statements())
    for process in (shop, report):
        process.wait(PATIENCE_SECONDS * 3)
    time.sleep(6)


def main() -> int:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or not POSTGRESQL.is_dir():
        raise SystemExit(f"not installed: {', '.join(missing) or 'postgresql'}")
    with tempfile.TemporaryDirectory(prefix="node.", dir="/var/tmp") as name, ExitStack() as ends:
        folder = Path(name)
        folder.chmod(0o755)
        node = SmallNode(folder, ends)
        node.make_network()
        start_services(node)
        with recording(folder / "node.recording"):
            use_services(node)
        sys.stderr.buffer.write((folder / "words").read_bytes()[-2000:])
        sys.stdout.buffer.write((folder / "node.recording").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
