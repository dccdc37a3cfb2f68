"""Every kind of pod of a whole cluster asks a Service; agents on the node and in the cluster call both ends by their names."""

from __future__ import annotations

from typing import Any

import pytest
from shop import ASKED, OWN_ENDS, REQUESTS, Shop
from started_agent import AskedAgent

pytestmark = pytest.mark.end_to_end

# What stands behind the pods that ask, and in which of their containers.
ASKING = {
    ("web", "ask"), ("web", "sidecar"), ("web", "warm-up"), ("watcher", "ask"), ("kept", "ask"), ("report", "ask"),
    ("in-nodes-network", "ask"), ("static-node-1", "ask"),
}  # fmt: skip
PATIENCE_SECONDS = 60


def asking(answer: Any, role: str, side: str) -> set[tuple[str, str]]:
    rows = [row for row in answer["requests"] if row["path"].startswith(ASKED) and row["role"] == role]
    return {(row[f"{side}_workload"], row[f"{side}_container"]) for row in rows if row[f"{side}_kind"] == "pod"}


def test_every_container_that_asks_is_named_with_its_workload(shop: Shop, agent: AskedAgent) -> None:
    answer = agent.wait_until(REQUESTS, lambda found: asking(found, "client", "local") >= ASKING, PATIENCE_SECONDS)
    assert asking(answer, "client", "local") == ASKING


def test_who_asked_is_named_at_the_server_too(shop: Shop, agent: AskedAgent, agents: dict[str, AskedAgent]) -> None:
    """From a network of its own an agent has addresses alone: they tell pods, no containers, and no pod of the nodes network."""
    alone = {(name, None) for name, _ in ASKING if name != "in-nodes-network"}
    wanted = ASKING if agent is agents["on the node"] else alone
    answer = agent.wait_until(REQUESTS, lambda found: asking(found, "server", "peer") >= wanted, PATIENCE_SECONDS)
    assert asking(answer, "server", "peer") == wanted
    assert {(row["local_workload"], row["local_container"]) for row in answer["requests"] if row["role"] == "server"} == {
        ("cart", "serve")
    }


def test_nobody_is_called_by_another_ones_name(shop: Shop, agent: AskedAgent) -> None:
    judged = shop.judge(agent)
    print(f"\n{dict(sorted(judged.items()))}")
    assert [what for what in judged if what[1] == "wrong"] == []
    assert all(judged[end, "right"] and not judged[end, "unknown"] for end in OWN_ENDS)


def test_pods_are_those_that_kubectl_tells(shop: Shop, agent: AskedAgent) -> None:
    """One that has ended gave its address back; one in the node's network has none of its own."""
    alive = [one for one in shop.pods() if one["status"]["phase"] == "Running"]
    told = {(one["metadata"]["name"], *(() if one["spec"].get("hostNetwork") else (one["status"]["podIP"],))) for one in alive}
    answer = agent.ask("/api/v1/pods?namespace=shop&limit=1000")
    assert {(one["name"], *one["addresses"]) for one in answer["pods"] if not one["gone"]} == told
