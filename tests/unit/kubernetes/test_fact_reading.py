"""What facts say of objects in every form that clusters hold: dual stack, static pods, headless services, nulls, damage."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from cluster_objects import container_of, endpoint, endpoint_slice, node, owner, pod, service, uid_of
from hypothesis import given
from hypothesis import strategies as st

from collector.cluster_facts import Container, ContainerRole, Owner, Pod, ServicePort
from collector.kubernetes.fact_reading import (
    MAPPED,
    AllowList,
    read_address,
    read_addresses,
    read_node,
    read_service,
    read_slice,
    read_time,
)
from collector.kubernetes.known_objects import fingerprint
from collector.kubernetes.pod_reading import PodReader
from collector.kubernetes.shapes import NOT_READABLE

READER = PodReader("node-1", AllowList(["app.kubernetes.io/name", "team/*"]), AllowList(["resource.opentelemetry.io/*"]))


def encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def read(body: dict[str, Any]) -> Pod:
    return READER.read(encode(body))


def packed(*texts: str) -> tuple[bytes, ...]:
    found = (ipaddress.ip_address(text) for text in texts)
    return tuple(one.packed if one.version == 6 else MAPPED + one.packed for one in found)


def test_a_pod_of_two_stacks_has_both_addresses() -> None:
    assert read(pod("web", addresses=("10.1.0.5", "fd00:10::5"))).addresses == packed("10.1.0.5", "fd00:10::5")


def test_init_main_and_ephemeral_containers_are_told_apart() -> None:
    found = read(pod("web", containers=("app", "sidecar"), init_containers=("prepare",), ephemeral_containers=("debug",)))
    assert [(one.name, one.role) for one in found.containers] == [
        ("prepare", ContainerRole.INIT),
        ("app", ContainerRole.MAIN),
        ("sidecar", ContainerRole.MAIN),
        ("debug", ContainerRole.EPHEMERAL),
    ]
    image = "registry.example/team/service:1.2.3"
    assert found.containers[1] == Container("app", container_of("default", "web", "app"), image)


@pytest.mark.parametrize("runtime", ["containerd", "cri-o", "docker"])
def test_container_ids_lose_the_runtime_that_is_written_before_them(runtime: str) -> None:
    body = pod("web")
    body["status"]["containerStatuses"][0] |= {"containerID": f"{runtime}://{'ab' * 32}", "restartCount": 4}
    (found,) = read(body).containers
    assert (found.identifier, found.restarts) == ("ab" * 32, 4)


def test_a_container_that_was_not_made_yet_has_no_identifier() -> None:
    body = pod("web", addresses=(), phase="Pending")
    body["status"]["containerStatuses"][0] |= {"containerID": "", "state": {"waiting": {"reason": "ContainerCreating"}}}
    assert [one.identifier for one in read(body).containers] == [""]
    assert read(body).addresses == ()


def test_a_static_pods_mirror_knows_the_uid_of_the_real_one() -> None:
    found = read(pod("etcd-node-1", annotations={"kubernetes.io/config.mirror": "0a1b"}, owned_by=owner("Node", "node-1")))
    assert found.mirror_uid == "0a1b"
    assert found.owners == (Owner("Node", "node-1", uid_of("Node", "node-1")),)
    assert found.annotations == {}


def test_host_network_and_end_are_read() -> None:
    assert read(pod("proxy", host_network=True)).host_network
    assert [read(pod("job", phase=phase)).finished for phase in ("Running", "Succeeded", "Failed", "Unknown")] == [
        False, True, True, False,
    ]  # fmt: skip


def test_only_allowed_labels_and_annotations_are_kept() -> None:
    labels = {"app.kubernetes.io/name": "web", "team/cost": "7", "team": "x", "secret": "s"}
    annotations = {"resource.opentelemetry.io/service.name": "shop", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    found = read(pod("web", labels=labels, annotations=annotations))
    assert found.labels == {"app.kubernetes.io/name": "web", "team/cost": "7"}
    assert found.annotations == {"resource.opentelemetry.io/service.name": "shop"}


@pytest.mark.parametrize(
    ("owned_by", "expected"),
    [
        (owner("ReplicaSet", "shop-web-6d4cf5"), ["ReplicaSet shop-web-6d4cf5", "Deployment shop-web"]),
        (owner("ReplicaSet", "by-hand"), ["ReplicaSet by-hand"]),
        (owner("StatefulSet", "db-6d4cf5"), ["StatefulSet db-6d4cf5"]),
        (None, []),
    ],
)
def test_a_deployment_is_seen_in_the_name_until_it_is_known(owned_by: dict[str, Any] | None, expected: list[str]) -> None:
    found = read(pod("web", labels={"pod-template-hash": "6d4cf5"}, owned_by=owned_by))
    assert [f"{one.kind} {one.name}" for one in found.owners] == expected
    assert all(one.uid == "" for one in found.owners[1:])


def test_of_several_owners_the_controller_counts() -> None:
    body = pod("web")
    body["metadata"]["ownerReferences"] = [owner("Custom", "a") | {"controller": None}, owner("StatefulSet", "b")]
    assert read(body).owners[0].kind == "StatefulSet"
    body["metadata"]["ownerReferences"] = [owner("A", "a") | {"controller": False}, owner("B", "b") | {"controller": False}]
    assert read(body).owners == ()


def test_a_service_has_its_addresses_and_ports() -> None:
    body = service("web", address="10.96.0.10", ports=(80, 443), type="LoadBalancer", externalIPs=["203.0.113.9"])
    body["spec"]["clusterIPs"] = ["10.96.0.10", "fd00::10"]
    body["spec"]["ports"][0] |= {"nodePort": 30080, "protocol": "UDP", "targetPort": "http"}
    body["status"]["loadBalancer"] = {"ingress": [{"ip": "203.0.113.10"}, {"hostname": "lb.example"}]}
    found = read_service(encode(body))
    assert found.cluster_addresses == packed("10.96.0.10", "fd00::10")
    assert found.external_addresses == packed("203.0.113.9", "203.0.113.10")
    assert found.ports == (ServicePort("udp", 80, 30080, "port-80"), ServicePort("tcp", 443, 0, "port-443"))


def test_headless_and_external_name_services_have_no_address() -> None:
    assert read_service(encode(service("db", address="None"))).cluster_addresses == ()
    outside = service("mail", address="", type="ExternalName", externalName="mail.example", ports=())
    found = read_service(encode(outside | {"spec": {**outside["spec"], "ports": None}}))
    assert (found.cluster_addresses, found.external_name, found.ports) == ((), "mail.example", ())


def test_endpoints_that_are_no_pods_have_no_uid() -> None:
    outside = {"addresses": ["192.0.2.80"], "conditions": {}, "targetRef": {"kind": "VirtualMachine", "name": "a", "uid": "b"}}
    found = read_slice(encode(endpoint_slice("s", "web", [endpoint("10.1.0.2", "web-1"), outside, {"addresses": ["10.9.9.9"]}])))
    assert [(one.pod_name, one.pod_uid) for one in found.endpoints] == [
        ("web-1", uid_of("Pod", "default", "web-1")), ("", ""), ("", ""),
    ]  # fmt: skip
    assert found.ports == (ServicePort("tcp", 8080, 0, "port-8080"),)


def test_slices_without_endpoints_or_of_names_are_read() -> None:
    body = endpoint_slice("s", "web", [])
    assert read_slice(encode(body | {"endpoints": None, "ports": None})).endpoints == ()
    names = [{"addresses": ["db.example"]}]
    assert read_slice(encode(body | {"addressType": "FQDN", "endpoints": names})).endpoints == ()


def test_a_node_has_its_internal_and_external_addresses() -> None:
    body = node("node-1", "192.0.2.1", "2001:db8::1")
    body["status"]["addresses"].append({"type": "ExternalIP", "address": "203.0.113.1"})
    assert read_node(encode(body)).addresses == packed("192.0.2.1", "2001:db8::1", "203.0.113.1")


def test_an_object_without_uid_is_refused() -> None:
    with pytest.raises(ValueError, match="uid"):
        read_node(b'{"metadata":{"name":"x"}}')


def test_times_are_unix_nanoseconds() -> None:
    assert read_time("2026-11-20T10:00:00Z") == 1_795_168_800 * 10**9
    assert [read_time(text) for text in (None, "", "yesterday")] == [0, 0, 0]


@given(st.one_of(st.ip_addresses().map(str), st.text(max_size=50)))
def test_whatever_stands_for_an_address_is_read_or_left_out(text: str) -> None:
    try:
        expected = packed(text)[0]
    except ValueError:
        expected = None
    found = read_address(text)
    assert found == expected or (expected is None and found is not None and len(found) == 16) or "%" in text
    assert len(read_addresses([text, text])) <= 1


def test_equal_facts_have_equal_fingerprints_and_each_change_another_one() -> None:
    same, other = read(pod("web")), read(pod("web"))
    assert fingerprint(same) == fingerprint(other)
    changed = [pod("web", phase="Failed"), pod("web", addresses=("10.1.0.3",)), pod("web", labels={"team/x": "1"})]
    assert len({fingerprint(read(body)) for body in changed} | {fingerprint(same)}) == 4


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=8), some, max_size=3),
    max_leaves=8,
)
OBJECTS = {
    READER.read: pod("web", init_containers=("one",), owned_by=owner("Job", "x")),
    read_service: service("web"),
    read_slice: endpoint_slice("s", "web", [endpoint("10.1.0.2", "web-1")]),
    read_node: node("node-1", "192.0.2.1"),
}


def spoil(value: Any, path: list[int], with_what: Any) -> Any:
    """The same with something else at the end of a path; each step is taken modulo what there is."""
    if not path or not isinstance(value, dict | list) or not value:
        return with_what
    if isinstance(value, list):
        place = path[0] % len(value)
        return [spoil(one, path[1:], with_what) if index == place else one for index, one in enumerate(value)]
    name = sorted(value)[path[0] % len(value)]
    return {**value, name: spoil(value[name], path[1:], with_what)}


@pytest.mark.parametrize("reader", OBJECTS)
@given(path=st.lists(st.integers(0, 50), min_size=1, max_size=6), with_what=ANYTHING)
def test_an_object_with_anything_in_any_place_is_read_or_refused(reader: Any, path: list[int], with_what: Any) -> None:
    try:
        fact = reader(encode(spoil(OBJECTS[reader], path, with_what)))
    except NOT_READABLE:
        return
    fingerprint(fact)
    assert fact.uid


@pytest.mark.parametrize("reader", OBJECTS)
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_object_are_refused(reader: Any, data: bytes) -> None:
    with pytest.raises(NOT_READABLE):
        reader(data)


@pytest.mark.parametrize("reader", OBJECTS)
def test_an_object_that_is_nested_too_deeply_is_refused(reader: Any) -> None:
    with pytest.raises(NOT_READABLE):
        reader(b'{"metadata":{"uid":"x"},"more":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
