"""Whether the agent watches a cluster, by settings and surroundings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from api_server_double import ApiServerDouble
from cluster_objects import pod
from cluster_sink import RememberingSink
from otlp_receiver import wait_for

from collector.cluster_choice import choose_access, choose_cluster_watch, choose_node_name
from collector.errors import SettingsError
from collector.settings import Settings


def test_without_kubernetes_nothing_is_watched_and_nothing_is_imported() -> None:
    """In a process of its own: others have imported the room."""
    script = (
        "import sys; from collector.cluster_choice import choose_cluster_watch; from collector.settings import Settings\n"
        "assert choose_cluster_watch(Settings(), {}, None) is None\n"
        "assert choose_cluster_watch(Settings(kubernetes='off'), {'KUBERNETES_SERVICE_HOST': 'x'}, None) is None\n"
        "assert not {'httpx', 'msgspec', 'yaml', 'asyncio'} & sys.modules.keys(), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_on_without_a_cluster_is_an_error_with_its_remedy() -> None:
    with pytest.raises(SettingsError, match="automountServiceAccountToken"):
        choose_access(Settings(kubernetes="on"), {})


def test_a_pod_without_a_token_is_no_cluster_unless_one_is_wanted() -> None:
    assert choose_access(Settings(), {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}) is None


def test_the_nodes_name_is_the_setting_then_the_variable() -> None:
    assert choose_node_name(Settings(node_name="node-7"), {"NODE_NAME": "node-8"}) == "node-7"
    assert choose_node_name(Settings(), {"NODE_NAME": "node-8"}) == "node-8"


def test_in_a_pod_the_nodes_name_is_never_guessed() -> None:
    with pytest.raises(SettingsError, match=r"spec\.nodeName"):
        choose_node_name(Settings(), {})


def test_outside_of_pods_it_is_the_hosts(tmp_path: Path) -> None:
    assert choose_node_name(Settings(kubeconfig=tmp_path), {}) == Path("/proc/sys/kernel/hostname").read_text().strip().lower()


def test_a_kubeconfig_is_enough(cluster: ApiServerDouble) -> None:
    labels = {"app.kubernetes.io/name": "shop", "team": "x", "other": "y"}
    cluster.put("pods", pod("web", node="node-7", labels=labels))
    settings = Settings(kubeconfig=cluster.kubeconfig, node_name="node-7", kubernetes_peers="off", kubernetes_labels=("te*",))
    sink = RememberingSink()
    watch = choose_cluster_watch(settings, {}, sink, "honeyguide/1.2.3")
    assert watch is not None
    watch.start()
    try:
        wait_for(lambda: sink.names() == {"web"})
    finally:
        assert watch.stop()
    (found,) = sink.now.values()
    assert found.labels == {"app.kubernetes.io/name": "shop", "team": "x"}  # type: ignore[union-attr]
    assert {one.agent for one in cluster.requests} == {"honeyguide/1.2.3"}
