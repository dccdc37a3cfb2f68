"""The ClusterRole that is shipped allows what is asked, and nothing else."""

from __future__ import annotations

from pathlib import Path

import yaml
from api_server_double import ApiServerDouble
from cluster_objects import job, owner, pod, replica_set, uid_of
from cluster_sink import watching
from otlp_receiver import wait_for

from collector.kubernetes.cluster_watch import WatchOptions

MANIFESTS = Path(__file__).parents[3] / "deploy/kubernetes"


def allowed() -> set[tuple[str, str]]:
    """(verb, resource)"""
    role = yaml.safe_load((MANIFESTS / "clusterrole.yaml").read_text())
    return {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


def test_the_role_allows_exactly_what_is_asked(cluster: ApiServerDouble) -> None:
    cluster.streaming_lists = False  # so that both list and watch are asked
    cluster.put("replicasets", replica_set("web-1", "web"))
    cluster.put("jobs", job("nightly-1", "nightly"))
    for kind, name in (("ReplicaSet", "web-1"), ("Job", "nightly-1")):
        cluster.put("pods", pod(f"{name}-x", owned_by=owner(kind, name, uid_of(kind, "default", name))))
    with watching(cluster, WatchOptions("node-1", "services")) as watched:
        wait_for(lambda: all(cluster.watching(name) for name in ("pods", "services", "endpointslices", "nodes")))
        wait_for(lambda: watched.status("jobs").objects and watched.status("replicasets").objects)
        asked = {(one.verb, one.resource) for one in cluster.requests}
    assert asked == allowed()


def test_the_binding_gives_it_to_the_agents_account_alone() -> None:
    binding = yaml.safe_load((MANIFESTS / "clusterrolebinding.yaml").read_text())
    assert binding["roleRef"]["name"] == "honeyguide"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "honeyguide", "namespace": "honeyguide"}]
