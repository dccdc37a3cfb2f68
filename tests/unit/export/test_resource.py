from pathlib import Path

import pytest

from collector.errors import SettingsError
from collector.export.resource import read_machine_id, read_resources
from collector.workload import Workload, WorkloadKind


def test_agent_is_honeyguide_unless_told_otherwise() -> None:
    agent = read_resources({}, "node-1", "abc", "0.1.0").agent
    assert agent["service.name"] == "honeyguide"
    assert (agent["host.name"], agent["host.id"], agent["service.version"]) == ("node-1", "abc", "0.1.0")
    named = read_resources({"OTEL_SERVICE_NAME": "eyes", "OTEL_RESOURCE_ATTRIBUTES": "service.name=no"}, "n", "", "1").agent
    assert named["service.name"] == "eyes"
    assert "host.id" not in named


def test_workloads_share_what_is_true_of_the_place_only() -> None:
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "k8s.cluster.name=blue%20sky,k8s.pod.name=honeyguide-x,team=infra,cloud.region=eu"}
    resources = read_resources(environ, "node-1", "abc", "1")
    of_nginx = resources.of_workload(Workload(1, WorkloadKind.UNIT, "nginx"))
    assert of_nginx == {
        "service.name": "nginx",
        "service.instance.id": "abc",
        "honeyguide.workload.kind": "unit",
        "host.name": "node-1",
        "host.id": "abc",
        "k8s.cluster.name": "blue sky",
        "cloud.region": "eu",
        "telemetry.distro.name": "honeyguide",
        "telemetry.distro.version": "1",
    }
    assert resources.agent["k8s.pod.name"] == "honeyguide-x"
    assert resources.agent["team"] == "infra"


def test_containers_of_one_service_are_different_instances() -> None:
    resources = read_resources({}, "node-1", "abc", "1")
    one, other = (Workload(n, WorkloadKind.POD, "shop", pod_uid="p", container_id=str(n)) for n in (1, 2))
    assert resources.of_workload(one)["service.instance.id"] != resources.of_workload(other)["service.instance.id"]


def test_resource_attributes_that_are_none_are_refused() -> None:
    with pytest.raises(SettingsError, match="Entry 2"):
        read_resources({"OTEL_RESOURCE_ATTRIBUTES": "a=b, nonsense"}, "n", "", "1")


def test_machine_id_is_the_first_that_can_be_read(tmp_path: Path) -> None:
    broken, good = tmp_path / "broken", tmp_path / "good"
    broken.write_bytes(b"\xff\xfe")
    good.write_text("0123abcd\n")
    assert read_machine_id((tmp_path / "absent", broken, good)) == "0123abcd"
    assert read_machine_id((tmp_path / "absent",)) == ""
