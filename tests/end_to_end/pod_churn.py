"""What a kubelet and a network plugin do, without either: pods that live for a second, their addresses given again at once.

    python pod_churn.py CGROUP2 SECONDS SLOTS

Each slot runs one pod after the other: a cgroup as the kubelet names them, a network namespace on a common bridge, always the
same address, and a process that sends numbered requests to the server's pod and ends. Says on standard output, one JSON object a
line, what a kubelet would tell the API server: pods that started and ended, and what each asked for.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from cluster_objects import container_of, uid_of

CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
SERIAL = itertools.count()
NAMESPACE, SERVER, PORT, REQUESTS = "churn", "10.77.0.1", 8080, 4
FIXED_PORT = 41000  # of every second request: whoever has the address next uses the same port too
libc = ctypes.CDLL(None, use_errno=True)


def say(**event: object) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")  # shorter than PIPE_BUF: whole, whoever writes beside


def configure(commands: list[str], inside: int = 0) -> None:
    enter = ["nsenter", "--net", "--target", str(inside)] if inside else []
    subprocess.run([*enter, "ip", "-batch", "-"], input="\n".join(commands), text=True, check=True, capture_output=True)


class Pod:
    """A process of its own in a cgroup and a network namespace of its own."""

    def __init__(self, root: Path, name: str, address: str, router: int, link: int) -> None:
        self.name, self.address = name, address
        self.uid = uid_of("Pod", NAMESPACE, name)
        self.cgroup = root / f"kubepods/burstable/pod{self.uid}/{container_of(NAMESPACE, name, 'app')}"
        self.router, self.link = router, f"v{link}x{next(SERIAL)}"  # the old one goes a moment after its namespace
        self.hardware = f"02:00:00:00:00:{link:02x}"

    def run(self, work: Callable[[Pod], None]) -> int:
        """The process, with its address; it does `work`."""
        self.cgroup.mkdir(parents=True, exist_ok=True)
        began = time.time()
        ready, go = os.pipe(), os.pipe()
        process = fork(lambda: self._become(ready[1], go[0], work, began))
        os.read(ready[0], 1)
        configure(
            [
                f"link add {self.link} type veth peer name eth0 address {self.hardware} netns {process}",
                f"link set {self.link} master br0 up",
            ],
            self.router,
        )
        os.write(go[1], b"g")
        for end in (*ready, *go):
            os.close(end)
        return process

    def _become(self, ready: int, go: int, work: Callable[[Pod], None], began: float) -> None:
        (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        os.write(ready, b"r")
        os.read(go, 1)
        configure(["link set lo up", f"address add {self.address}/16 dev eth0", "link set eth0 up"])
        say(event="started", name=self.name, address=self.address, began=began, at=time.time())
        work(self)

    def remove(self) -> None:
        for place in (self.cgroup, self.cgroup.parent):
            for _ in range(250):
                try:
                    place.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)  # the process is still leaving
        say(event="ended", name=self.name, at=time.time())


def ask(pod: Pod, number: int, pause: float) -> list[object]:
    """[number, own port, unix seconds before and after]; the port is 0 when there was no answer."""
    with socket.socket() as connection:
        connection.settimeout(3)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind((pod.address, FIXED_PORT + number if number % 2 else 0))
        before = time.time()
        try:
            connection.connect((SERVER, PORT))
            port = connection.getsockname()[1]
            connection.sendall(f"GET /{pod.name}/{number} HTTP/1.1\r\nHost: server\r\n\r\n".encode())
            answered = connection.recv(100)
        except OSError:
            port, answered = 0, b""
    after = time.time()
    time.sleep(pause)
    return [number, port if answered else 0, before, after]


def send_requests(pod: Pod) -> None:
    asked = [ask(pod, number, 0.15) for number in range(REQUESTS)]
    say(event="asked", name=pod.name, address=pod.address, requests=asked)


def serve(_pod: Pod) -> None:
    server = socket.create_server((SERVER, PORT), backlog=100)
    say(event="serving")

    def answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(1000):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()


def route(ready: int) -> None:
    """Holds the network namespace with the bridge."""
    libc.unshare(CLONE_NEWNET)
    configure(["link add br0 type bridge", "link set br0 up"])
    os.write(ready, b"r")
    signal.pause()


def fork(work: Callable[[], None]) -> int:
    """A process that does the work; it goes with whoever started it."""
    process = os.fork()
    if not process:
        try:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            work()
        except BaseException:  # noqa: BLE001 -- said, and the process ends
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process


def is_wanted() -> bool:
    """Whoever asked for pods closes our standard input when there have been enough."""
    return not select.select([0], [], [], 0)[0]


def run_slot(root: Path, slot: int, router: int, until: float) -> None:
    serial = 0
    while time.time() < until and is_wanted():
        pod = Pod(root, f"pod-{slot}-{serial}", f"10.77.1.{slot}", router, slot)
        os.waitpid(pod.run(send_requests), 0)
        pod.remove()
        serial += 1


def main(root: Path, seconds: float, slots: int) -> None:
    made = [place for place in (root / "kubepods/burstable", root / "kubepods") if not place.exists()]
    ready = os.pipe()
    router = fork(lambda: route(ready[1]))
    os.read(ready[0], 1)
    server = Pod(root, "server", SERVER, router, 100)
    serving = server.run(serve)
    until = time.time() + seconds
    try:
        running = [fork(lambda slot=slot: run_slot(root, slot, router, until)) for slot in range(1, slots + 1)]  # type: ignore[misc]
        for process in running:
            os.waitpid(process, 0)
        say(event="done")
        sys.stdin.read()  # until whoever asked has looked
    finally:
        for process in (serving, router):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        server.remove()
        for place in made:
            with suppress(OSError):  # somebody else may have made a pod there meanwhile
                place.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
