"""Manifests and chart: valid for Kubernetes, the same as each other, and what the code asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifests import (
    BASE,
    CHART,
    COMPONENTS,
    KUBECTL,
    build_with_kubectl,
    environment,
    keyed,
    pod_of,
    read_base,
    render_chart,
    without_labels,
    yaml,
)
from source_files import ROOT

from collector.doctor.capabilities import list_wanted
from collector.kubernetes.fact_reading import AllowList
from collector.kubernetes.owner_lookup import PATHS as OWNER_PATHS
from collector.kubernetes.pod_reading import PodReader
from collector.kubernetes.resource_kinds import kinds_to_watch
from collector.settings import Settings
from collector.settings_sources import variable_of

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed (extra: manifests)")
VERSIONS = ("1.25", "1.30", "1.37")
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "clickhouse": {"clickhouse": {"url": "http://clickhouse.monitoring.svc:8123/"}},
    "containerd": {"containerRuntime": "containerd"},
    "cri-o": {"containerRuntime": "cri-o"},
    "docker": {"containerRuntime": "docker"},
    "prometheus-operator": {"podMonitor": {"enabled": True}},
    "tracefs": {"tracefs": True},
    "host-network": {"hostNetwork": True},
}
MORE_VALUES = {
    "nothing optional": {
        "kubernetes": {"watch": False},
        "networkPolicy": {"enabled": False},
        "priorityClass": {"create": False, "name": "system-node-critical"},
    },
    "all at once": {
        **VALUES["clickhouse"],
        **VALUES["docker"],
        **VALUES["prometheus-operator"],
        "systemAdmin": True,
        "tracefs": True,
        "hostNetwork": True,
        "image": {"tag": "9.9", "pullSecrets": [{"name": "registry"}]},
        "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
        "settings": {"max_connections": 1_000_000, "trace_ratio": 0.5, "disable": ["udp", "dns"], "prometheus": True},
    },
}
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


def check_schema(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """PodMonitor belongs to the Prometheus operator, whose schema nobody ships."""
    for version in VERSIONS:
        for (kind, _), one in objects.items():
            if kind != "PodMonitor":
                kubernetes_validate.validate(one, version, strict=True)


def check_pod(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """What must hold however it was put together."""
    pod, kinds = pod_of(objects), {kind for kind, _ in objects}
    container = pod["containers"][0]
    mounted = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    writable = {name for name, mount in mounted.items() if not mount.get("readOnly")}
    temporary = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume}
    assert writable == temporary.keys()
    assert all(kept.get("sizeLimit") for kept in temporary.values())
    check_cache(pod, {mounted[name]["mountPath"] for name in temporary})
    hosts = {volume["name"]: volume["hostPath"] for volume in pod["volumes"] if "hostPath" in volume}
    assert all(mounted[name]["mountPath"] == path["path"] and path["type"] == "Directory" for name, path in hosts.items())
    assert not any(path["path"].endswith(".sock") or path["path"] in ("/", "/run", "/var/run") for path in hosts.values())
    daemons = next(one for (kind, _), one in objects.items() if kind == "DaemonSet")["spec"]
    assert daemons["selector"]["matchLabels"].items() <= daemons["template"]["metadata"]["labels"].items()
    assert ("ClusterRole" in kinds) == pod["automountServiceAccountToken"]
    accounts = {name for kind, name in objects if kind == "ServiceAccount"}
    assert pod["serviceAccountName"] in accounts


def check_cache(pod: dict[str, Any], writable: set[str]) -> None:
    """Not the mount itself: kubelet makes an emptyDir for everybody (0777), and the agent refuses such a folder."""
    folder = Path(environment(pod)[variable_of("cache_folder")])
    assert str(folder) not in writable
    assert str(folder.parent) in writable


def test_base_is_valid_for_kubernetes_old_and_new() -> None:
    check_schema(read_base())
    check_pod(read_base())


@needs_kubectl
def test_kustomize_itself_builds_the_same(tmp_path: Path) -> None:
    assert build_with_kubectl(tmp_path) == read_base()


@needs_kubectl
@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_builds_into_something_valid_and_is_the_same_in_the_chart(component: str, tmp_path: Path) -> None:
    built = build_with_kubectl(tmp_path, [component])
    check_schema(built)
    check_pod(built)
    built.pop(("Namespace", "honeyguide"))
    assert without_labels(render_chart(VALUES[component])) == without_labels(built)


def test_components_are_all_in_the_chart() -> None:
    assert set(COMPONENTS) == VALUES.keys() - {"defaults"}


def test_chart_and_base_say_the_same() -> None:
    """Who changes one changes the other. The chart makes no namespace: Helm does, when asked to."""
    base = read_base()
    base.pop(("Namespace", "honeyguide"))
    assert without_labels(render_chart()) == without_labels(base)


@pytest.mark.parametrize("values", MORE_VALUES.values(), ids=MORE_VALUES)
@pytest.mark.parametrize("name", ["honeyguide", "second"])
def test_chart_is_valid_whatever_is_chosen(values: dict[str, Any], name: str) -> None:
    objects = render_chart(values, name)
    check_schema(objects)
    check_pod(objects)


def test_two_releases_share_nothing() -> None:
    one, other = render_chart({"priorityClass": {"create": False}}), render_chart({"priorityClass": {"create": False}}, "second")
    assert one.keys().isdisjoint(other.keys())
    assert pod_of(one)["serviceAccountName"] != pod_of(other)["serviceAccountName"]


def test_settings_of_the_chart_are_written_as_the_agent_reads_them() -> None:
    written = environment(pod_of(render_chart(MORE_VALUES["all at once"])))
    assert written["HONEYGUIDE_MAX_CONNECTIONS"] == "1000000"
    assert written["HONEYGUIDE_TRACE_RATIO"] == "0.5"
    assert written["HONEYGUIDE_DISABLE"] == "udp,dns"
    assert written["HONEYGUIDE_PROMETHEUS"] == "true"
    assert written["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"


def test_chart_passes_helms_own_lint_and_refuses_what_is_wrong() -> None:
    helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed (extra: manifests)")
    assert helm.lint(str(CHART), strict=True)["errors"] == []
    for wrong in ({"clickhouse": {"url": "http://me:secret@host/"}}, {"containerRuntime": "rkt"}, {"typo": 1}):
        with pytest.raises(helm.HelmError):
            render_chart(wrong)


@pytest.mark.parametrize("objects", [read_base(), render_chart()], ids=["base", "chart"])
def test_capabilities_are_those_that_the_code_wants(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """On a kernel from 5.11 on; what older ones want beside them is in docs/running.md."""
    security = pod_of(objects)["containers"][0]["securityContext"]
    assert {f"CAP_{name}" for name in security["capabilities"]["add"]} == {wanted.name for wanted in list_wanted((6, 1))}
    assert security["capabilities"]["drop"] == ["ALL"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert not security["privileged"]


def test_variables_are_settings_and_ports_are_the_port() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    for values in VALUES.values():
        written = environment(pod_of(render_chart(values)))
        assert {name for name in written if name.startswith("HONEYGUIDE_")} <= known
    objects, port = read_base(), Settings().port
    assert Settings.model_validate({"listen": environment(pod_of(objects))["HONEYGUIDE_LISTEN"], "token": "x" * 8}).port == port
    assert [one["containerPort"] for one in pod_of(objects)["containers"][0]["ports"]] == [port]
    assert [one["port"] for one in objects["Service", "honeyguide"]["spec"]["ports"]] == [port]
    policy = objects["NetworkPolicy", "honeyguide"]["spec"]
    assert [one["port"] for rule in policy["ingress"] for one in rule["ports"]] == [port]


def test_node_name_comes_from_kubernetes() -> None:
    written = environment(pod_of(read_base()))
    assert written["NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert written["OTEL_RESOURCE_ATTRIBUTES"] == "k8s.node.name=$(NODE_NAME)"


def test_rights_are_those_that_the_code_asks_for() -> None:
    rules = read_base()["ClusterRole", "honeyguide"]["rules"]
    allowed = {
        (f"/apis/{group}/v1" if group else "/api/v1", resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    reader = PodReader("node-1", AllowList(), AllowList())
    watched = {tuple(kind.path.rsplit("/", 1)) for kind in kinds_to_watch(reader, "services")}
    asked: dict[tuple[str, ...], set[str]] = {place: {"list", "watch"} for place in watched}
    asked |= {(prefix, resource): {"get"} for resource, prefix in OWNER_PATHS.values()}
    assert allowed == asked
    assert {"replicasets", "jobs"} == {resource for (_, resource), verbs in allowed.items() if verbs == {"get"}}


def test_priority_is_its_own_and_takes_nobodys_place() -> None:
    objects = read_base()
    assert pod_of(objects)["priorityClassName"] == "honeyguide"
    assert objects["PriorityClass", "honeyguide"]["preemptionPolicy"] == "Never"


def test_no_secret_is_written_anywhere() -> None:
    assert not [path for path in BASE.rglob("*.yaml") if "kind: Secret" in path.read_text()]
    for values in (*VALUES.values(), *MORE_VALUES.values()):
        assert not any(kind == "Secret" for kind, _ in render_chart(values))
        given = environment(pod_of(render_chart(values)))
        assert not any(name.endswith(("PASSWORD", "TOKEN")) for name in given)


def test_versions_of_chart_and_package_are_the_same() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["version"]}"\n' in (ROOT / "pyproject.toml").read_text()
    assert chart["appVersion"] == chart["version"]


def test_pod_monitor_scrapes_the_named_port_with_the_token() -> None:
    monitor = keyed([yaml.safe_load((BASE / "components/prometheus-operator/podmonitor.yaml").read_text())])
    endpoint = monitor["PodMonitor", "honeyguide"]["spec"]["podMetricsEndpoints"][0]
    assert endpoint["port"] == pod_of(read_base())["containers"][0]["ports"][0]["name"]
    assert endpoint["authorization"]["credentials"] == {"name": "honeyguide-token", "key": "token"}
