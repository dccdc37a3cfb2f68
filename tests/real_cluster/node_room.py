"""A room for a whole Kubernetes node on this machine: a network, a view of the file system and cgroups that go with it.

What the node's programs make (links, rules, mounts, folders of state, cgroups, processes) is made in there: nothing of the
machine's changes, and all is gone afterwards, also when a program died in between.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
NAME = "honeyguide-cluster"  # of its cgroup in every hierarchy
NODE_ADDRESS = "192.0.2.1"
CLONE_NEWNET = 0x40000000
PATIENCE_SECONDS = 60
STATE = ("/run", "/var/lib", "/var/log")  # below them Kubernetes and its runtime keep things whatever they are told
# What a kubelet sets for the whole machine: in here these are files.
SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
           "kernel/keys/root_maxbytes")  # fmt: skip
NETWORK = (
    "ip link set lo up",
    "ip link add eth0 type veth peer name uplink",
    f"ip address add {NODE_ADDRESS}/24 dev eth0",
    "ip link set eth0 up",
    "ip link set uplink up",
    "ip route add default via 192.0.2.254",
    "sysctl -qw net.ipv4.ip_forward=1",
)


class NodeRoom:
    """folder: for logs and state. Programs that it starts see its files and are in its cgroups."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._programs: list[subprocess.Popen[bytes]] = []
        self._holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "infinity"])
        stack.callback(self._leave_mounts)
        self.inside = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt")
        self._wait_for_mounts()
        for place in (*STATE, *(f"/proc/sys/{name}" for name in SYSCTLS)):
            self._cover(Path(place))
        stack.callback(self._end)
        for hierarchy in hierarchies():
            make_cgroup(hierarchy / NAME)
            make_cgroup(hierarchy / NAME / "node")

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """A program of the node; its log is FOLDER/NAME.log."""
        places = " ".join(f"{hierarchy}/{NAME}/node/cgroup.procs" for hierarchy in hierarchies())
        script = f'for place in {places}; do echo $$ >"$place" || exit; done; exec "$@"'
        with (self.folder / f"{name}.log").open("ab") as log:
            words = [*self.inside, "sh", "-c", script, "sh", *command]
            self._programs.append(subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log))

    def run(self, *command: str | Path) -> str:
        done = subprocess.run([*self.inside, *command], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def _wait_for_mounts(self) -> None:
        own = Path("/proc/self/ns/mnt").readlink()
        while Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() == own:
            assert self._holder.poll() is None, "no new mount namespace"
            time.sleep(0.01)

    def _cover(self, place: Path) -> None:
        """With something of the same kind that is ours."""
        kept = self.folder / "state" / "-".join(place.parts[1:])
        if place.is_dir():
            kept.mkdir(parents=True)
        else:
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(place.read_text())
        self.run("mount", "--bind", kept, place)

    def _end(self) -> None:
        end_cgroups()
        for program in self._programs:
            program.wait(PATIENCE_SECONDS)

    def _leave_mounts(self) -> None:
        self._holder.kill()
        self._holder.wait()


@contextmanager
def node_room(folder: Path) -> Iterator[NodeRoom]:
    """The calling thread, and what it starts, is in its network until the end."""
    with ExitStack() as stack:
        stack.enter_context(own_network())
        yield NodeRoom(folder, stack)


@contextmanager
def own_network() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            for words in NETWORK:
                subprocess.run(words.split(), check=True, capture_output=True)
            yield
        finally:
            assert libc.setns(before.fileno(), CLONE_NEWNET) == 0


def hierarchies() -> list[Path]:
    """Of cgroups, v1 and v2."""
    return [place for place in CGROUPS.iterdir() if place.is_dir() and not place.is_symlink()]


def make_cgroup(place: Path) -> None:
    place.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (place / name).exists():
            (place / name).write_text((place.parent / name).read_text())


def end_cgroups() -> None:
    """All processes in them are killed, also those of an earlier test that was itself killed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := [place for hierarchy in hierarchies() for place in sorted(hierarchy.glob(f"{NAME}/**/"), reverse=True)]:
        assert time.monotonic() < deadline, f"these stay: {left}"
        for place in left:
            end_processes(place)
            with suppress(OSError):
                place.rmdir()
        time.sleep(0.02)


def end_processes(place: Path) -> None:
    with suppress(OSError):
        for process in (place / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)


def why_no_room() -> str:
    """'' where one can be made."""
    missing = [name for name in ("unshare", "nsenter", "ip", "iptables", "sysctl") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return "" if (CGROUPS / "memory").is_dir() else "a kubelet this old wants cgroups v1, or v2 with all controllers"
