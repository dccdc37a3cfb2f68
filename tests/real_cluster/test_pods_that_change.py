"""Deployments are scaled and rolled, pods are deleted, addresses are given to others: no request is attributed to a wrong pod."""

from __future__ import annotations

import time

import pytest
from shop import OWN_ENDS, Shop
from started_agent import AskedAgent

pytestmark = pytest.mark.end_to_end

SERIES_SECONDS = 150  # the last look at a pod that is gone, and what the machine is late


@pytest.fixture(scope="module")
def changed(shop: Shop) -> Shop:
    """After all that happens to pods on an ordinary day, under traffic; each step once the one before has settled."""
    shop.kubectl("scale", "deployment/web", "--replicas=4")
    shop.settle(11)
    for name in ("cart", "web"):
        shop.kubectl("rollout", "restart", f"deployment/{name}")
        shop.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")
    shop.settle(11)
    shop.kubectl("scale", "deployment/web", "--replicas=2")
    shop.settle(9)
    for _ in range(3):  # the same name each time, another pod
        shop.kubectl("delete", "pod", "kept-0")
        shop.settle(9)
    for app in ("cart", "web", "watcher"):
        shop.kubectl("delete", "pod", "-l", f"app={app}", "--grace-period=0", "--force")
        shop.settle(9)
    return shop


def test_every_request_goes_to_its_pods_account_or_to_nobodys(changed: Shop, agent: AskedAgent) -> None:
    time.sleep(2)  # answers that nothing follows are reported within a second
    judged = changed.judge(agent)
    pods = {path.split("/")[1] for path in changed.asked}
    print(f"\n{len(pods)} pods asked, {len(changed.asked)} requests answered: {dict(sorted(judged.items()))}")
    assert len(pods) > 12
    assert [what for what in judged if what[1] == "wrong"] == []
    assert all(judged[end, "right"] and not judged[end, "unknown"] for end in OWN_ENDS)


def test_addresses_were_used_again(changed: Shop, agent: AskedAgent) -> None:
    """Or the test before this one shows less than it says."""
    answer = agent.ask("/api/v1/pods?namespace=shop&limit=1000")
    addresses = [address for one in answer["pods"] for address in one["addresses"]]
    assert len(addresses) > len(set(addresses))


def test_series_of_a_deleted_pod_end(changed: Shop, agent: AskedAgent) -> None:
    name = next(one["metadata"]["name"] for one in changed.pods("-l", "app=web"))
    label = f'k8s_pod_name="{name}"'
    assert label in agent.get("/metrics")
    changed.kubectl("delete", "pod", name)
    changed.settle(9)
    deadline = time.monotonic() + SERIES_SECONDS
    while label in agent.get("/metrics") and time.monotonic() < deadline:
        time.sleep(1)
    assert label not in agent.get("/metrics")
    pods = {one["metadata"]["name"] for one in changed.pods()}
    assert all(f'k8s_pod_name="{one}"' in agent.get("/metrics") for one in pods if one.startswith("cart"))
