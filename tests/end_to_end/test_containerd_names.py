"""Real containers of containerd and pods of its CRI plugin are called by their names, without an API server."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from container_leftovers import leftovers, remove_folder, remove_leftovers
from containerd_server import Containerd, missing_for_containerd
from ports import free_port
from served_pod import check_cart_is_named
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

OPTIONS = ("--probes", "process,tcp", "--snapshot-interval", "1", "--kubernetes", "off")
POD_UID = f"{os.getpid():08x}-5f60-4718-8293-a4b5c6d7e8f9"


def serve(port: int) -> list[str]:
    return ["/bin/busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/bin"]


@pytest.fixture
def containerd() -> Iterator[Containerd]:
    if missing := missing_for_containerd():
        pytest.skip(missing)
    with ExitStack() as stack:
        stack.callback(remove_leftovers, leftovers())
        folder = Path(tempfile.mkdtemp(prefix="hg-"))  # paths of sockets are short
        stack.callback(remove_folder, folder)
        try:
            made = Containerd(folder)
            stack.callback(made.close)
            made.run("trial", {}, "/bin/busybox", "sleep", "60")
        except RuntimeError as error:
            pytest.skip(f"containerd cannot run containers here: {error}")
        yield made


def test_containers_have_the_names_that_their_bundles_tell(
    containerd: Containerd, start_agent: Callable[..., RunningAgent]
) -> None:
    """As nerdctl annotates them. One is older than the agent, the other comes later."""
    port = free_port()
    containerd.run(f"{os.getpid():064x}", {"nerdctl/name": "shop"}, *serve(port))
    agent = start_agent(*OPTIONS)
    ask = f"while true; do /bin/busybox wget -q -O /dev/null http://127.0.0.1:{port}/busybox; /bin/busybox sleep 0.2; done"
    containerd.run(f"{os.getpid() + 1:064x}", {"nerdctl/name": "customer"}, "/bin/busybox", "sh", "-c", ask)

    def edges(answer: Any) -> set[tuple[str, str, str]]:
        return {(flow["local_kind"], flow["local_workload"], flow["peer_workload"]) for flow in answer["flows"]}

    wanted = ("container", "customer", "shop")
    answer = agent.wait_until(f"/api/v1/flows?port={port}&limit=1000", lambda found: wanted in edges(found))
    assert wanted in edges(answer)
    assert agent.stop() == 0


@pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="not installed: grpcio")
@pytest.mark.parametrize("older", [True, False], ids=["older than the agent", "younger than the agent"])
def test_pods_of_the_cri_plugin_are_named(containerd: Containerd, start_agent: Callable[..., RunningAgent], older: bool) -> None:
    port = free_port()

    def run_pod() -> None:
        containerd.run_pod("cart-7d9c6b5f4-x2x8q", "shop", POD_UID, "cart", serve(port))

    if older:
        run_pod()
    agent = start_agent(*OPTIONS)
    if not older:
        run_pod()

    check_cart_is_named(agent, port, POD_UID)
    assert agent.stop() == 0
