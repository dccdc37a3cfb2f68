"""A pod that serves a file, and whether the agent calls it by its names."""

from __future__ import annotations

import urllib.request
from contextlib import suppress
from typing import Any

from started_agent import RunningAgent


def check_cart_is_named(agent: RunningAgent, port: int, uid: str) -> None:
    """Pod cart-7d9c6b5f4-x2x8q of namespace shop, container cart, which serves on that port; asks it until it is named."""

    def served(answer: Any) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/busybox", timeout=5):
            pass
        return any(flow["local_pod"] == "cart-7d9c6b5f4-x2x8q" for flow in answer["flows"])

    flows = agent.wait_until(f"/api/v1/flows?port={port}&limit=1000", served)
    [flow, *_] = [one for one in flows["flows"] if one["local_pod"]]
    assert (flow["local_kind"], flow["local_pod"], flow["local_container"]) == ("pod", "cart-7d9c6b5f4-x2x8q", "cart")
    assert (flow["local_namespace"], flow["local_pod_uid"]) == ("shop", uid)
