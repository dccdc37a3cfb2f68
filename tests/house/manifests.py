"""The manifests of deploy/ as objects: the kustomize base by its own words, the chart by the real Helm."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from source_files import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (extra: manifests)")
BASE, CHART = ROOT / "deploy/kubernetes", ROOT / "deploy/helm/honeyguide"
KUBECTL = shutil.which("kubectl")
COMPONENTS = sorted(path.name for path in (BASE / "components").iterdir())
OF_HELM = ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart")
WITHOUT_NAMESPACE = ("Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass")
Object = dict[str, Any]
Key = tuple[str, str]


def keyed(objects: Iterable[Object]) -> dict[Key, Object]:
    """By kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in objects if one}


def read_base() -> dict[Key, Object]:
    """What `kubectl apply -k deploy/kubernetes` applies: resources, namespace, images. A test compares with kubectl's own."""
    wanted = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    assert set(wanted) == {"apiVersion", "kind", "namespace", "resources", "images"}, "this reader knows no more"
    objects = [one for name in wanted["resources"] for one in yaml.safe_load_all((BASE / name).read_text())]
    for one in objects:
        if one["kind"] not in WITHOUT_NAMESPACE:
            one["metadata"]["namespace"] = wanted["namespace"]
    tags = {image["name"]: image["newTag"] for image in wanted["images"]}
    for container in (c for one in objects if one["kind"] == "DaemonSet" for c in one["spec"]["template"]["spec"]["containers"]):
        container["image"] = f"{container['image']}:{tags[container['image']]}"
    return keyed(objects)


def build_with_kubectl(folder: Path, components: Iterable[str] = ()) -> dict[Key, Object]:
    """The real kustomize, with components; folder: an empty one beside which relative paths start."""
    assert KUBECTL is not None
    shutil.copytree(BASE, folder / "base")
    names = "".join(f"\n  - base/components/{name}" for name in components)
    text = f"resources:\n  - base\n{f'components:{names}' if names else ''}\n"
    (folder / "kustomization.yaml").write_text(f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{text}")
    built = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return keyed(yaml.safe_load_all(built.stdout))


def render_chart(values: Mapping[str, Any] | None = None, name: str = "honeyguide") -> dict[Key, Object]:
    """All objects of the chart, as Helm makes them."""
    helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed (extra: manifests)")
    chart = helm.Chart.load(str(CHART))
    chart.validate_schema(dict(values or {}))
    files = chart.render(dict(values or {}), name=name, namespace="honeyguide")
    texts = (text for path, text in files.items() if path.endswith(".yaml"))
    return keyed(one for text in texts for one in yaml.safe_load_all(text))


def without_helm(value: Any) -> Any:
    """The same without the labels that only Helm gives, and what Kubernetes would fill in itself."""
    if isinstance(value, dict):
        return {key: without_helm(one) for key, one in value.items() if key not in (*OF_HELM, "imagePullPolicy")}
    return [without_helm(one) for one in value] if isinstance(value, list) else value


def without_labels(objects: dict[Key, Object]) -> dict[Key, Object]:
    """Labels of the objects themselves are Helm's habit; those of pods and selectors stay."""
    made = {key: without_helm(one) for key, one in objects.items()}
    for one in made.values():
        one["metadata"].pop("labels", None)
    return made


def pod_of(objects: dict[Key, Object]) -> Object:
    """The DaemonSet's pod spec."""
    spec: Object = next(one for (kind, _), one in objects.items() if kind == "DaemonSet")["spec"]["template"]["spec"]
    return spec


def environment(pod: Object) -> dict[str, Any]:
    """Variable -> value, or where it comes from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][0]["env"]}
