"""Real pods that come and go, what they say they did, and the API server that describes them: a little late, in another order."""

from __future__ import annotations

import heapq
import json
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cluster_objects import owner, pod

NAMESPACE = "churn"
SLOWEST_NEWS_SECONDS = 0.4  # what the API server needs to tell
CLOSE_SECONDS = 2.0  # a connection is known by address, port and when it was opened
Event = dict[str, Any]


class Cluster(Protocol):
    """A double of the API server, or who writes to a real one."""

    def put(self, resource: str, body: Event) -> None: ...

    def delete(self, resource: str, namespace: str, name: str) -> None: ...


@dataclass
class Truth:
    """What the pods say they did: (address, port) -> (unix seconds, name)."""

    events: queue.Queue[Event] = field(default_factory=queue.Queue)
    connections: dict[tuple[str, int], list[tuple[float, str]]] = field(default_factory=dict)
    pods: int = 0
    answered: int = 0
    serving: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    def listen(self, stream: Any) -> None:
        for line in stream:
            event = json.loads(line)
            if event["event"] in ("serving", "done"):
                getattr(self, event["event"]).set()
            elif event["event"] == "asked":
                self._note(event)
            else:
                self.events.put(event)

    def _note(self, event: Event) -> None:
        self.pods += 1
        for _, port, before, _ in event["requests"]:
            if port:
                self.answered += 1
                self.connections.setdefault((event["address"], port), []).append((before, event["name"]))

    def who(self, address: str, port: int, at: float) -> str:
        """Name of the pod; '' when nobody says that this connection was its own."""
        distance, name = min(
            ((abs(before - at), name) for before, name in self.connections.get((address, port), ())), default=(CLOSE_SECONDS, "")
        )
        return name if distance < CLOSE_SECONDS else ""


def tell(cluster: Cluster, truth: Truth) -> None:
    """The API server hears of everything a little late, and not in the order in which it happened."""
    late: list[tuple[float, int, Event]] = []
    chance, number = random.Random(7), 0
    while not (truth.done.is_set() and truth.events.empty() and not late):
        with_time = truth.events.get(timeout=0.02) if not truth.events.empty() else None
        if with_time is not None:
            number += 1
            heapq.heappush(late, (with_time["at"] + chance.uniform(0, SLOWEST_NEWS_SECONDS), number, with_time))
        while late and late[0][0] <= time.time():
            describe(cluster, heapq.heappop(late)[2])
        time.sleep(0.005)


def describe(cluster: Cluster, event: Event) -> None:
    name = event["name"]
    if event["event"] == "ended":
        cluster.delete("pods", NAMESPACE, name)
        return
    made = pod(name, namespace=NAMESPACE, addresses=(event["address"],), owned_by=owner("Job", f"job-of-{name}"))
    made["status"]["startTime"] = datetime.fromtimestamp(int(event["began"]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    cluster.put("pods", made)


@contextmanager
def churning(cluster: Cluster, root: Path, seconds: float, slots: int) -> Iterator[Truth]:
    """For `seconds`, one pod after the other in each slot; everything is gone at the end."""
    command = [sys.executable, str(Path(__file__).with_name("pod_churn.py")), str(root), str(seconds), str(slots)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as churn:
        truth = Truth()
        threads = [
            threading.Thread(target=truth.listen, args=(churn.stdout,)),
            threading.Thread(target=tell, args=(cluster, truth)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield truth
        finally:
            truth.done.set()
            assert churn.stdin is not None
            churn.stdin.close()
            churn.wait(30)
            for thread in threads:
                thread.join(30)
