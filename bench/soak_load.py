"""What goes on beside the pods of `soak.py`: requests for ever new paths, and names that nobody asked for before."""

from __future__ import annotations

import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from busy_workload import ask, read

ROOT = Path(__file__).resolve().parents[1]
SERIAL = itertools.count()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUESTS_OF_A_CONNECTION = 20


@dataclass(slots=True)
class Load:
    """requests, names: a second, each multiplied by `haste` as it is at that moment. done: kind -> how often, so far."""

    requests: float
    names: float
    haste: float = 1.0
    ended: threading.Event = field(default_factory=threading.Event)
    done: dict[str, int] = field(default_factory=lambda: {"requests": 0, "names": 0})
    ports: list[int] = field(default_factory=list)

    def pause(self, spent: float, units: int, rate: float) -> None:
        """Until `units` more are due, `spent` seconds of it being over."""
        self.ended.wait(max(0.0, units / (rate * self.haste) - spent))

    def send_requests(self, port: int) -> None:
        """Each with a path of its own, `REQUESTS_OF_A_CONNECTION` to a connection."""
        while not self.ended.is_set():
            begun = time.monotonic()
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for _ in range(REQUESTS_OF_A_CONNECTION):
                    number = next(SERIAL)
                    head = f"GET /items/{number}/{number:x}-part HTTP/1.1\r\nHost: h{number % 5000}\r\n\r\n"
                    connection.sendall(head.encode())
                    read(connection, len(ANSWER))
                    self.done["requests"] += 1
            self.pause(time.monotonic() - begun, REQUESTS_OF_A_CONNECTION, self.requests)

    def look_up_names(self, port: int) -> None:
        """Names and addresses nobody heard of before."""
        while not self.ended.is_set():
            begun = time.monotonic()
            ask(f"name-{self.done['names']}.known.test", port, self.done["names"])
            self.done["names"] += 1
            self.pause(time.monotonic() - begun, 1, self.names)


def answer_requests(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(1000):
                connection.sendall(ANSWER)


def answer_names(server: socket.socket) -> None:
    """Each name has an address of its own: 10.128.0.0 and following."""
    for number in itertools.count():
        query, client = server.recvfrom(512)
        address = struct.pack("!I", 0x0A800000 + number % (1 << 23))
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
        server.sendto(head + query[12:] + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + address, client)


@contextmanager
def loaded(load: Load) -> Iterator[None]:
    """Everything but the pods, from now on; `ports`: of the name servers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))
    with varied_workload() as port:
        load.ports[:] = [port, names.getsockname()[1]]
        for serve, place in ((answer_requests, listener), (answer_names, names)):
            threading.Thread(target=serve, args=[place], daemon=True).start()
        works: list[tuple[Callable[[int], None], int]] = [
            (load.send_requests, listener.getsockname()[1]),
            (load.look_up_names, load.ports[1]),
        ]
        threads = [threading.Thread(target=work, args=[port]) for work, port in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            load.ended.set()
            for thread in threads:
                thread.join()


@contextmanager
def varied_workload() -> Iterator[int]:
    """A little of every protocol, five times a second; gives the port of its name server."""
    command = [sys.executable, str(ROOT / "tests/end_to_end/busy_workload.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdin is not None
        assert busy.stdout is not None
        port = int(busy.stdout.readline())
        busy.stdin.write("\n")
        busy.stdin.flush()
        try:
            yield port
        finally:
            busy.terminate()
