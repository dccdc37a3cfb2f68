"""Attributes of pods and containers: the conventions' names, and their order of precedence."""

from __future__ import annotations

import pytest

from collector.cluster_facts import ContainerFact, Owner
from collector.enrich.pod_attributes import NamingChoice, image_version, name_container, split_image
from collector.workload import Workload, WorkloadKind
from enrich.batches import ONE, POD_PATH, TWO, UID, cgroups
from enrich.cluster_samples import container, known, learnt, pod

SHOP = NamingChoice()


def workload_of(fact_of: object, path: str = POD_PATH, choice: NamingChoice = SHOP) -> Workload:
    """The workload of a cgroup at `path` once that pod is known."""
    identities = known(learnt(fact_of), choice=choice)  # type: ignore[arg-type]
    identities.observe(cgroups({"event": "created", "cgroup": 50, "path": path}))
    return identities.workload(identities.resolve(50, 0, 0))


def test_container_of_a_deployment_has_every_attribute_of_the_conventions() -> None:
    cart = pod(UID, "10.0.0.5", deployment="cart", containers=(container("server", ONE), container("proxy", TWO, "proxy")))
    assert workload_of(cart).attributes() == {
        "service.name": "cart",
        "service.namespace": "shop",
        "service.version": "1.2",
        "service.instance.id": f"shop.pod-{UID}.server",
        "honeyguide.workload.kind": "pod",
        "k8s.namespace.name": "shop",
        "k8s.pod.name": f"pod-{UID}",
        "k8s.pod.uid": UID,
        "k8s.node.name": "node-1",
        "k8s.deployment.name": "cart",
        "k8s.replicaset.name": "cart-5d9",
        "k8s.container.name": "server",
        "container.id": ONE,
        "container.image.name": "registry.example:5000/shop/cart",
        "container.image.tags": "1.2",
    }


@pytest.mark.parametrize(
    ("owners", "name"),
    [
        ((Owner("ReplicaSet", "web-1"),), "web-1"),
        ((Owner("StatefulSet", "db"),), "db"),
        ((Owner("DaemonSet", "logs"),), "logs"),
        ((Owner("Job", "backup-77"), Owner("CronJob", "backup")), "backup"),
        ((Owner("Job", "once"),), "once"),
        ((Owner("Node", "node-1"),), f"pod-{UID}"),
        ((Owner("Rollout", "of another kind"),), f"pod-{UID}"),
        ((), f"pod-{UID}"),
    ],
)
def test_service_is_named_by_the_outermost_owner_that_the_conventions_know(owners: tuple[Owner, ...], name: str) -> None:
    assert workload_of(pod(UID, owners=owners)).name == name


def test_annotations_come_before_labels_and_labels_before_owners_if_they_are_chosen() -> None:
    labels = {"app.kubernetes.io/instance": "blue", "app.kubernetes.io/name": "cart", "app.kubernetes.io/version": "7"}
    fact = pod(UID, deployment="cart-deployment", labels=labels, containers=(container("server", ONE),))
    assert workload_of(fact).name == "cart-deployment", "users may not know that their labels name services"
    chosen = workload_of(fact, choice=NamingChoice(well_known_labels=True))
    assert (chosen.name, chosen.facts["service.version"]) == ("blue", "7")
    prefix = "resource.opentelemetry.io/"
    annotations = {
        f"{prefix}service.name": "basket",
        f"{prefix}service.namespace": "sales",
        f"{prefix}deployment.environment": "x",
    }
    fact = pod(UID, deployment="cart", labels=labels, annotations={**annotations, "other": "value"})
    annotated = workload_of(fact, choice=NamingChoice(well_known_labels=True))
    assert annotated.name == "basket"
    assert annotated.namespace == "shop", "the pod's own namespace is what filters mean"
    attributes = annotated.attributes()
    assert (attributes["service.namespace"], attributes["k8s.namespace.name"]) == ("sales", "shop")
    assert attributes["deployment.environment"] == "x"
    assert "other" not in attributes


def test_labels_and_annotations_become_attributes_by_allow_list_only() -> None:
    fact = pod(UID, labels={"team": "a", "secret": "b", "app/tier": "web"}, annotations={"note": "c", "token": "d"})
    facts = workload_of(fact, choice=NamingChoice(labels=("team", "app/*"), annotations=("note",))).facts
    assert facts["k8s.pod.label.team"] == "a"
    assert facts["k8s.pod.label.app/tier"] == "web"
    assert facts["k8s.pod.annotation.note"] == "c"
    assert not {"b", "d"} & set(facts.values())


def test_static_pod_is_found_by_the_uid_in_its_cgroup_and_called_by_that_of_the_api() -> None:
    static = "0123456789abcdef0123456789abcdef"
    path = f"/kubepods/burstable/pod{static}/{ONE}"
    found = workload_of(pod(UID, mirror_uid=static, containers=(container("server", ONE),)), path)
    assert (found.pod_uid, found.attributes()["k8s.pod.uid"], found.container_name) == (static, UID, "server")


def test_sandbox_container_has_the_pods_names_but_no_container() -> None:
    found = workload_of(pod(UID, deployment="cart", containers=(container("server", TWO),)))
    assert (found.name, found.pod_name, found.container_name) == ("cart", f"pod-{UID}", "")
    assert found.attributes()["container.id"] == ONE


def test_container_without_a_pod_is_called_by_its_runtime() -> None:
    fact = ContainerFact(ONE, "web", "nginx:1.25@sha256:ab", "docker", {"com.docker.compose.project": "shop"})
    named = name_container(fact, NamingChoice(labels=("com.docker.*",)))
    assert named.name == "web"
    assert named.facts == {
        "container.name": "web",
        "container.runtime": "docker",
        "container.image.name": "nginx",
        "container.image.tags": "1.25",
        "service.version": "1.25@sha256:ab",
        "container.label.com.docker.compose.project": "shop",
    }
    identities = known(learnt(fact))
    identities.observe(cgroups({"event": "created", "cgroup": 50, "path": f"/docker/{ONE}"}))
    found = identities.workload(identities.resolve(50, 0, 0))
    assert (found.kind, found.name, found.container_id) == (WorkloadKind.CONTAINER, "web", ONE)


@pytest.mark.parametrize(
    ("image", "parts", "version"),
    [
        ("nginx", ("nginx", "", ""), ""),
        ("nginx:1.25", ("nginx", "1.25", ""), "1.25"),
        ("host:5000/a/b", ("host:5000/a/b", "", ""), ""),
        ("host:5000/a/b:c@sha256:0f", ("host:5000/a/b", "c", "sha256:0f"), "c@sha256:0f"),
        ("a/b@sha256:0f", ("a/b", "", "sha256:0f"), "sha256:0f"),
        ("", ("", "", ""), ""),
    ],
)
def test_reference_of_an_image_is_split_as_registries_do(image: str, parts: tuple[str, str, str], version: str) -> None:
    assert split_image(image) == parts
    assert image_version(image) == version
