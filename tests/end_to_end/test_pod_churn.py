"""Hundreds of pods a minute, each for a second, addresses and ports used again at once: whatever the agent saw is attributed
to the right pod or to nobody, never to another one. TEST_CHURN_SECONDS makes it longer."""

from __future__ import annotations

import heapq
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from api_server_double import ApiServerDouble, api_server_double
from cluster_objects import owner, pod, uid_of
from started_agent import RunningAgent

from collector.source.cgroup_files import find_cgroup2

pytestmark = pytest.mark.end_to_end

SECONDS = float(os.environ.get("TEST_CHURN_SECONDS", "12"))
SLOTS = 6
NAMESPACE, SERVER, PORT = "churn", "10.77.0.1", 8080
SLOWEST_NEWS_SECONDS = 0.4  # what the API server needs to tell
CLOSE_SECONDS = 2.0  # a connection is known by address, port and when it was opened
Event = dict[str, Any]


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


def tell(cluster: ApiServerDouble, truth: Truth) -> None:
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


def describe(cluster: ApiServerDouble, event: Event) -> None:
    name = event["name"]
    if event["event"] == "ended":
        cluster.delete("pods", NAMESPACE, name)
        return
    made = pod(name, namespace=NAMESPACE, addresses=(event["address"],), owned_by=owner("Job", f"job-of-{name}"))
    made["status"]["startTime"] = datetime.fromtimestamp(int(event["began"]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    cluster.put("pods", made)


@contextmanager
def churning(cluster: ApiServerDouble, root: Path) -> Iterator[Truth]:
    """Pods that come and go, described by the API server; everything is gone at the end."""
    command = [sys.executable, str(Path(__file__).with_name("pod_churn.py")), str(root), str(SECONDS), str(SLOTS)]
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


@pytest.fixture
def root() -> Path:
    mounts = [Path(place) for top, place in find_cgroup2(Path("/proc/self/mountinfo").read_text()) if not top]
    if not mounts or not os.access(mounts[0], os.W_OK):
        pytest.skip("no writable cgroup v2 hierarchy")
    return mounts[0]


def verdict(name: str, told: str | None, uid: str | None) -> str:
    """right, wrong or unknown. told, uid: the pod as the agent calls it; name: what it is."""
    if uid is None:
        return "unknown"
    return "right" if uid == uid_of("Pod", NAMESPACE, name) and told in (name, None) else "wrong"


def judge_flows(flows: list[Event], truth: Truth) -> Counter[tuple[str, str]]:
    """(whose, verdict) -> rows. A connection is seen at both ends: the pod is local in one row and the peer in the other."""
    found: Counter[tuple[str, str]] = Counter()
    for flow in flows:
        client = flow["role"] == "client"
        pod_side, server_side = ("local", "peer") if client else ("peer", "local")
        began = datetime.fromisoformat(flow["started_at"]).timestamp()
        name = truth.who(flow[f"{pod_side}_address"], flow[f"{pod_side}_port"], began)
        if name:
            found[f"{flow['role']}: pod", verdict(name, flow[f"{pod_side}_pod"], flow[f"{pod_side}_pod_uid"])] += 1
            found[f"{flow['role']}: server", verdict("server", flow[f"{server_side}_pod"], flow[f"{server_side}_pod_uid"])] += 1
    return found


def judge_requests(requests: list[Event]) -> Counter[tuple[str, str]]:
    """The path says whose a request is."""
    found: Counter[tuple[str, str]] = Counter()
    for request in requests:
        side = "local" if request["role"] == "client" else "peer"
        name = request["path"].split("/")[1]
        found[f"{request['role']}: pod", verdict(name, request[f"{side}_pod"], request[f"{side}_pod_uid"])] += 1
    return found


def test_nothing_that_was_seen_is_attributed_to_another_pod(
    start_agent: Callable[..., RunningAgent], tmp_path: Path, root: Path
) -> None:
    with api_server_double(tmp_path) as cluster:
        agent = start_agent("--kubeconfig", str(cluster.kubeconfig), "--node-name", "node-1", "--flow-history", "200000")
        with churning(cluster, root) as truth:
            assert truth.done.wait(SECONDS + 60)
            wanted = 0.9 * 2 * truth.answered
            path = f"/api/v1/flows?port={PORT}&address={SERVER}&state=closed&protocol=tcp&limit=10000"
            answer = agent.wait_until(path, lambda answer: answer["total"] >= wanted)
            flows = judge_flows(answer["flows"], truth)
            requests = judge_requests(
                agent.ask(f"/api/v1/requests?port={PORT}&protocol=http&namespace=churn&limit=10000")["requests"]
            )
            facts = agent.ask("/api/v1/pods?namespace=churn&limit=1")["total"]
    print(f"\n{truth.pods} pods in {SECONDS:g} s, {truth.answered} requests answered; the agent knows {facts} pods")
    print(f"flows: {dict(sorted(flows.items()))}\nrequests: {dict(sorted(requests.items()))}")
    judged = flows + requests
    assert truth.pods > 3 * SECONDS, "hundreds a minute"
    assert [what for what in judged if what[1] == "wrong"] == []
    assert sum(count for (_, how), count in flows.items() if how == "right") >= wanted
    assert flows["client: pod", "unknown"] == 0, "what has a cgroup is known"
    assert sum(count for (_, how), count in requests.items() if how == "right") > 0
