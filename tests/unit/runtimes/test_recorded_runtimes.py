"""What each runtime's files say is read from where that runtime writes them."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from runtimes.host_tree import (
    DOCKER,
    IDENTIFIER,
    POD_PATH,
    POD_UID,
    SANDBOX,
    STORAGE,
    TASKS,
    describe_here,
    place,
)  # fmt: skip

POD_NAME, IMAGE = "cart-7d9c6b5f4-x2x8q", "registry.example/cart:1.4"
COMPOSE = ("com.docker.compose.project", "com.docker.compose.service")
CREATED_NS = 1795717267756718000


def test_docker_names_container_image_and_the_labels_asked_for(tmp_path: Path) -> None:
    place(tmp_path, DOCKER, "docker_container.json")
    found = describe_here(tmp_path, labels=(*COMPOSE, "absent"))
    assert found is not None
    assert (found.name, found.image, found.runtime, found.pod_name) == ("web", "bb:1", "docker", "")
    assert found.labels == {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    assert found.started_at == 1795717341108440000


def test_a_docker_engine_with_another_data_root_is_found_by_its_settings(tmp_path: Path) -> None:
    place(tmp_path, f"data/docker/containers/{IDENTIFIER}/config.v2.json", "docker_container.json")
    (tmp_path / "etc/docker").mkdir(parents=True)
    (tmp_path / "etc/docker/daemon.json").write_text('{"data-root": "/data/docker"}')
    found = describe_here(tmp_path)
    assert found is not None
    assert found.name == "web"


def test_a_rootless_engine_is_found_in_its_users_home_and_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000:Ann:/users/ann:/bin/sh\n")
    place(tmp_path, f"users/ann/.local/share/docker/containers/{IDENTIFIER}/config.v2.json", "docker_container.json")
    path = f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{IDENTIFIER}.scope"
    found = describe_here(tmp_path, path)
    assert found is not None
    assert (found.name, found.trusted) == ("web", False)
    assert describe_here(tmp_path, f"/docker/{IDENTIFIER}") is None


@pytest.mark.parametrize("state", ["run/containerd", "run/k3s/containerd", "var/snap/microk8s/common/run/containerd"])
def test_containerd_names_the_container_and_pod_of_kubernetes(tmp_path: Path, state: str) -> None:
    place(tmp_path, f"{state}/io.containerd.runtime.v2.task/k8s.io/{IDENTIFIER}/config.json", "containerd_cri_bundle.json")
    found = describe_here(tmp_path, POD_PATH)
    assert found is not None
    assert (found.name, found.image, found.runtime) == ("cart", IMAGE, "containerd")
    assert (found.pod_name, found.pod_namespace, found.pod_uid, found.sandbox) == (POD_NAME, "shop", POD_UID, False)


def test_the_container_that_holds_a_pods_namespaces_names_the_pod_only(tmp_path: Path) -> None:
    place(tmp_path, f"{TASKS}/k8s.io/{IDENTIFIER}/config.json", "containerd_cri_sandbox.json")
    found = describe_here(tmp_path, POD_PATH)
    assert found is not None
    assert (found.name, found.image, found.sandbox, found.pod_name) == ("", "", True, POD_NAME)


def test_nerdctl_names_its_containers_in_any_namespace(tmp_path: Path) -> None:
    place(tmp_path, f"{TASKS}/elsewhere/{IDENTIFIER}/config.json", "nerdctl_bundle.json")
    found = describe_here(tmp_path, f"/system.slice/nerdctl-{IDENTIFIER}.scope", COMPOSE)
    assert found is not None
    assert (found.name, found.runtime, found.pod_name) == ("mail", "nerdctl", "")
    assert found.labels == {"com.docker.compose.project": "post"}


def test_crio_names_container_and_pod_and_knows_addresses_and_the_pods_labels(tmp_path: Path) -> None:
    place(tmp_path, f"{STORAGE}/{IDENTIFIER}/userdata/config.json", "crio_bundle.json")
    place(tmp_path, f"{STORAGE}/{SANDBOX}/userdata/config.json", "crio_sandbox.json")
    found = describe_here(tmp_path, POD_PATH, ("app.kubernetes.io/name",))
    assert found is not None
    assert (found.name, found.image, found.runtime) == ("cart", IMAGE, "cri-o")
    assert (found.pod_name, found.pod_namespace, found.pod_uid) == (POD_NAME, "shop", POD_UID)
    assert found.labels == {"app.kubernetes.io/name": "cart"}
    assert [str(ipaddress.ip_address(one)) for one in found.addresses] == ["::ffff:a58:2", "1100:200::2"]
    assert found.started_at == CREATED_NS


def test_podman_names_its_containers_from_the_storages_list(tmp_path: Path) -> None:
    place(tmp_path, f"{STORAGE}/{IDENTIFIER}/userdata/config.json", "podman_bundle.json")
    place(tmp_path, f"{STORAGE}/containers.json", "podman_list.json")
    found = describe_here(tmp_path, f"/machine.slice/libpod-{IDENTIFIER}.scope")
    assert found is not None
    assert (found.name, found.image, found.runtime, found.pod_name) == ("web", "localhost/bb:1", "podman", "")
    assert found.started_at > CREATED_NS - 10**15


@pytest.mark.parametrize(
    ("path", "recorded"), [("runc/{}/state.json", "runc_state.json"), ("crun/{}/status", "crun_status.json")]
)
def test_a_storage_of_podmans_in_another_place_is_found_by_the_bundle_of_runc_or_crun(
    tmp_path: Path, path: str, recorded: str
) -> None:
    place(tmp_path, f"run/{path.format(IDENTIFIER)}", recorded)
    place(tmp_path, "srv/containers/overlay-containers/containers.json", "podman_list.json")
    found = describe_here(tmp_path, f"/libpod_parent/libpod-{IDENTIFIER}")
    assert found is not None
    assert (found.name, found.image) == ("web", "localhost/bb:1")


def test_a_bundle_that_somebody_runs_by_hand_is_named_by_its_annotations(tmp_path: Path) -> None:
    state = '{"config": {"labels": ["bundle=/srv/bundles/mail"]}}'
    (tmp_path / f"run/runc/{IDENTIFIER}").mkdir(parents=True)
    (tmp_path / f"run/runc/{IDENTIFIER}/state.json").write_text(state)
    place(tmp_path, "srv/bundles/mail/config.json", "nerdctl_bundle.json")
    found = describe_here(tmp_path)
    assert found is not None
    assert found.name == "mail"


def test_a_container_that_no_runtime_knows_has_no_description(tmp_path: Path) -> None:
    place(tmp_path, f"{STORAGE}/containers.json", "crio_bundle.json")
    assert describe_here(tmp_path) is None
