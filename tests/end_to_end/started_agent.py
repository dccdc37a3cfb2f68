"""A real agent as a user starts it, for tests that look at it from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from patience import PATIENCE_SECONDS


class AskedAgent:
    """One that answers at that address; a token if it wants one."""

    def __init__(self, address: str, token: str = "") -> None:
        self.address = address
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> str:
        request = urllib.request.Request(self.address + path, headers=self.headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            text: str = answer.read().decode()
            return text

    def ask(self, path: str) -> Any:
        return json.loads(self.get(path))

    def wait_until(self, path: str, satisfied: Callable[[Any], bool], seconds: float = PATIENCE_SECONDS) -> Any:
        """Asks until the answer satisfies; the last answer in any case, so that a failing assertion can show it."""
        deadline = time.monotonic() + seconds
        answer = self.ask(path)
        while not satisfied(answer) and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = self.ask(path)
        return answer


class RunningAgent(AskedAgent):
    """`honeyguide run` in a process of its own, on a port that the kernel chose. program: what Python runs for it."""

    def __init__(self, folder: Path, *options: str, program: Sequence[str] = ("-m", "collector")) -> None:
        self.log = folder / "agent.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "run", "--listen", "127.0.0.1:0", *options], stdout=log, stderr=log
            )
        try:
            super().__init__(self._find_address())
        except BaseException:
            self.end()
            raise

    def _find_address(self) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                if line.startswith("Serving on "):
                    return line.split()[2].rstrip(".")
            time.sleep(0.05)
        raise AssertionError(f"the agent did not start:\n{self.log.read_text()}")

    def stop(self) -> int:
        """Exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """At once, if it still runs."""
        self.process.kill()
        self.process.wait()


@contextmanager
def agents_started_in(place: Path) -> Iterator[Callable[..., RunningAgent]]:
    """Starts agents with the options given; ends them all, whatever happens."""
    started: list[RunningAgent] = []

    def start(*options: str) -> RunningAgent:
        folder = place / f"agent{len(started)}"
        folder.mkdir()
        started.append(RunningAgent(folder, *options))
        return started[-1]

    try:
        yield start
    finally:
        for agent in started:
            agent.end()
