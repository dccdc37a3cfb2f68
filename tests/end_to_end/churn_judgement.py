"""Whether the agent calls pods that come and go (churning_cluster.py) by their names, wherever it saw them."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from churning_cluster import NAMESPACE, Cluster, Event, Truth, churning
from cluster_objects import uid_of
from started_agent import RunningAgent

from collector.source.cgroup_files import find_cgroup2

SLOTS = 6
SERVER, PORT = "10.77.0.1", 8080


def writable_cgroup() -> Path:
    """Skips the test where there is none."""
    mounts = [Path(place) for top, place in find_cgroup2(Path("/proc/self/mountinfo").read_text()) if not top]
    if not mounts or not os.access(mounts[0], os.W_OK):
        pytest.skip("no writable cgroup v2 hierarchy")
    return mounts[0]


def check_names(agent: RunningAgent, cluster: Cluster, seconds: float) -> None:
    """What the agent saw of so many seconds of churn is attributed to the right pod or to nobody."""
    with churning(cluster, writable_cgroup(), seconds, SLOTS) as truth:
        assert truth.done.wait(seconds + 60)
        wanted = 0.9 * 2 * truth.answered
        path = f"/api/v1/flows?port={PORT}&address={SERVER}&state=closed&protocol=tcp&limit=10000"
        answer = agent.wait_until(path, lambda answer: answer["total"] >= wanted)
        flows = judge_flows(answer["flows"], truth)
        requests = judge_requests(
            agent.ask(f"/api/v1/requests?port={PORT}&protocol=http&namespace=churn&limit=10000")["requests"]
        )
        facts = agent.ask("/api/v1/pods?namespace=churn&limit=1")["total"]
    print(f"\n{truth.pods} pods in {seconds:g} s, {truth.answered} requests answered; the agent knows {facts} pods")
    print(f"flows: {dict(sorted(flows.items()))}\nrequests: {dict(sorted(requests.items()))}")
    judged = flows + requests
    assert truth.pods > 3 * seconds, "hundreds a minute"
    assert [what for what in judged if what[1] == "wrong"] == []
    assert sum(count for (_, how), count in flows.items() if how == "right") >= wanted
    assert flows["client: pod", "unknown"] == 0, "what has a cgroup is known"
    assert sum(count for (_, how), count in requests.items() if how == "right") > 0


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
