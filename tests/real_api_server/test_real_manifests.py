"""Our manifests, kustomize's and Helm's, before a real API server: defaults, validation and admission, nothing kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cluster_writer import MANIFESTS, ROOT, ClusterWriter

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (extra: manifests)")
pytestmark = pytest.mark.only_on("kube-apiserver")

COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
OPERATOR = "prometheus-operator"  # its PodMonitor is a kind that only clusters with that operator know
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no rights": {"kubernetes": {"watch": False}},
    "all at once": {
        "clickhouse": {"url": "http://clickhouse.monitoring.svc:8123/"}, "containerRuntime": "containerd", "systemAdmin": True,
        "tracefs": True, "hostNetwork": True, "settings": {"max_connections": 100_000},
    },
}  # fmt: skip
TAKEN = {
    "namespace/honeyguide", "serviceaccount/honeyguide", "clusterrole.rbac.authorization.k8s.io/honeyguide",
    "clusterrolebinding.rbac.authorization.k8s.io/honeyguide", "priorityclass.scheduling.k8s.io/honeyguide",
    "daemonset.apps/honeyguide", "service/honeyguide", "networkpolicy.networking.k8s.io/honeyguide",
}  # fmt: skip


def taken(said: str) -> set[str]:
    """The objects of which `kubectl apply --dry-run=server` says that the server took them."""
    lines = [line.split() for line in said.splitlines()]
    assert all(line[-3:] == ["(server", "dry", "run)"] for line in lines), said
    return {line[0] for line in lines}


def test_the_base_is_taken(writer: ClusterWriter) -> None:
    assert taken(writer.kubectl("apply", "--dry-run=server", "-k", str(MANIFESTS))) == TAKEN


@pytest.mark.parametrize("component", [one for one in COMPONENTS if one != OPERATOR])
def test_the_base_with_a_component_is_taken(writer: ClusterWriter, tmp_path: Path, component: str) -> None:
    base = os.path.relpath(MANIFESTS, tmp_path.resolve())
    kind = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    (tmp_path / "kustomization.yaml").write_text(f"{kind}resources: [{base}]\ncomponents: [{base}/components/{component}]\n")
    assert taken(writer.kubectl("apply", "--dry-run=server", "-k", str(tmp_path))) == TAKEN


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_chart_is_taken(writer: ClusterWriter, values: dict[str, Any]) -> None:
    helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed (extra: manifests)")
    files = helm.Chart.load(str(ROOT / "deploy/helm/honeyguide")).render(values, name="honeyguide", namespace="honeyguide")
    documents = "\n---\n".join(text for path, text in files.items() if path.endswith(".yaml"))
    said = taken(writer.kubectl("apply", "--dry-run=server", "-f", "-", stdin=documents))
    rights = {one for one in TAKEN if "clusterrole" in one} if values.get("kubernetes") else set()
    assert said == TAKEN - {"namespace/honeyguide"} - rights


def test_the_pods_volumes_stay_as_they_are_written(writer: ClusterWriter) -> None:
    """What a server does not know it drops in silence: limits and modes that are gone would be seen here."""
    said = yaml.safe_load_all(writer.kubectl("apply", "--dry-run=server", "-o", "yaml", "-k", str(MANIFESTS)))
    (kept,) = (one for one in next(said)["items"] if one["kind"] == "DaemonSet")
    written = yaml.safe_load((MANIFESTS / "daemonset.yaml").read_text())
    assert lost(written["spec"], kept["spec"]) == []


def lost(written: Any, kept: Any, place: str = "") -> list[str]:
    """Places of what the server does not give back as it was given."""
    if isinstance(written, dict) and isinstance(kept, dict):
        return [found for name, value in written.items() for found in lost(value, kept.get(name), f"{place}.{name}")]
    if isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        return [
            found for number, pair in enumerate(zip(written, kept, strict=True)) for found in lost(*pair, f"{place}[{number}]")
        ]
    image = place.endswith(".image")
    return [] if written == kept or image else [f"{place}: {written} is {kept}"]
