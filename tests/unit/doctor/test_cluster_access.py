"""What the doctor says of Kubernetes: whether the API answers, and what it lets us ask."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server_double import ApiServerDouble, api_server_double

from collector.doctor.cluster import inspect_cluster
from collector.doctor.finding import Finding, Verdict
from collector.settings import Settings


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiServerDouble]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    with api_server_double(tmp_path) as running:
        yield running


def findings(cluster: ApiServerDouble, peers: str = "services") -> dict[str, Finding]:
    settings = Settings(kubeconfig=cluster.kubeconfig, node_name="node-1", kubernetes_peers=peers)  # type: ignore[arg-type]
    return {one.subject: one for one in inspect_cluster(settings, {})}


def test_everything_that_will_be_asked_is_tried(cluster: ApiServerDouble) -> None:
    found = findings(cluster)
    assert {one.verdict for one in found.values()} == {Verdict.YES}
    watched = {f"{verb} {kind}" for verb in ("list", "watch") for kind in ("pods", "services", "endpointslices", "nodes")}
    assert found.keys() == watched | {"cluster", "get replicasets", "get jobs"}
    assert "node node-1" in found["cluster"].detail


def test_what_is_left_to_the_backend_is_not_asked(cluster: ApiServerDouble) -> None:
    assert findings(cluster, "off").keys() == {"cluster", "list pods", "watch pods", "get replicasets", "get jobs"}


def test_each_thing_that_rbac_forbids_is_told_with_its_remedy(cluster: ApiServerDouble) -> None:
    cluster.forbidden = {("watch", "nodes"), ("get", "jobs")}
    found = findings(cluster)
    refused = {name: one for name, one in found.items() if one.verdict is Verdict.NO}
    assert refused.keys() == {"watch nodes", "get jobs"}
    assert "403" in refused["get jobs"].cause
    assert "clusterrole.yaml" in refused["get jobs"].remedy


def test_a_token_that_is_refused_is_told_once(cluster: ApiServerDouble) -> None:
    path = cluster.folder / "other"
    path.write_text(json.dumps(cluster.kubeconfig_with({"token": "wrong"})))
    found = list(inspect_cluster(Settings(kubeconfig=path, node_name="node-1"), {}))
    assert [one.subject for one in found if one.verdict is Verdict.NO] == ["list pods"]


def test_without_kubernetes_nothing_is_wrong() -> None:
    assert [one.verdict for one in inspect_cluster(Settings(), {})] == [Verdict.NOTE]


def test_what_the_settings_contradict_is_told(tmp_path: Path) -> None:
    (found,) = inspect_cluster(Settings(kubeconfig=tmp_path / "nowhere"), {})
    assert found.verdict is Verdict.NO
    assert "cannot be read" in found.cause
