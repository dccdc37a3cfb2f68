"""One whole cluster for all tests here, our agent twice in it (a process of the node, and as its DaemonSet), then a shop."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_leftovers import remove_folder
from our_daemonset import HISTORY, IMAGE_VARIABLE, OurDaemonSet
from shop import Shop
from started_agent import AskedAgent, agents_started_in
from whole_cluster import NODE, WholeCluster, whole_cluster, why_not

HERE = Path(__file__).parent
PLACES = ("on the node", "in the cluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster() -> Iterator[WholeCluster]:
    folder = Path(tempfile.mkdtemp(prefix="hg-"))  # paths of sockets are short
    try:
        with whole_cluster(folder) as running:
            yield running
    finally:
        if kept := os.environ.get("KEEP_CLUSTER_LOGS"):
            shutil.copytree(
                folder,
                kept,
                ignore=lambda place, names: [n for n in names if not n.endswith(".log") and place == str(folder)],
                dirs_exist_ok=True,
            )
        remove_folder(folder)


@pytest.fixture(scope="session")
def daemonset(cluster: WholeCluster) -> OurDaemonSet:
    """What `kubectl apply -k deploy/kubernetes` makes, ready."""
    image = Path(os.environ.get(IMAGE_VARIABLE, ""))
    if not image.is_file():
        pytest.skip("the agent's image was not built")
    made = OurDaemonSet(cluster)
    made.apply(image)
    return made


@pytest.fixture(scope="session")
def agents(
    cluster: WholeCluster, daemonset: OurDaemonSet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, AskedAgent]]:
    account = cluster.writer.kubeconfig(cluster.writer.new_token(3600))
    options = ("--kubeconfig", str(account), "--node-name", NODE, "--kubernetes-peers", "pods", "--request-history", HISTORY)
    with agents_started_in(tmp_path_factory.mktemp("agents")) as start:
        yield dict(zip(PLACES, (start(*options), daemonset.agent()), strict=True))


@pytest.fixture(scope="session")
def shop(cluster: WholeCluster, agents: dict[str, AskedAgent]) -> Shop:
    """Younger than the agents."""
    opened = Shop(cluster)
    opened.open()
    return opened


@pytest.fixture(params=PLACES)
def agent(request: pytest.FixtureRequest, agents: dict[str, AskedAgent]) -> AskedAgent:
    return agents[request.param]
