"""The same cluster twice: as kubectl tells of it, and as the agent's watch does. Equal, or the agent is wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from cluster_sink import RememberingSink
from cluster_writer import ClusterWriter

from collector.cluster_facts import ClusterNode, EndpointSlice, Pod, Service

Row = tuple[Any, ...]


def text_of(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET, address[12:])


def told_pods(writer: ClusterWriter, node: str = "") -> set[Row]:
    """By kubectl. node: '' for all."""
    chosen = [f"--field-selector=spec.nodeName={node}"] if node else []
    return {row_of(pod) for pod in writer.listed("pods", "--all-namespaces", *chosen)}


def row_of(pod: dict[str, Any]) -> Row:
    metadata, status = pod["metadata"], pod["status"]
    owners = tuple((one["kind"], one["name"], one["uid"]) for one in metadata.get("ownerReferences", ()))
    addresses = tuple(one["ip"] for one in status.get("podIPs", ()))
    over = status["phase"] in ("Succeeded", "Failed")
    return metadata["uid"], metadata["namespace"], metadata["name"], pod["spec"].get("nodeName", ""), addresses, owners, over


def known_pods(sink: RememberingSink) -> set[Row]:
    """By the agent; of owners the one that is in the pod itself."""
    return {
        (
            one.uid, one.namespace, one.name, one.node, tuple(map(text_of, one.addresses)),
            tuple((owner.kind, owner.name, owner.uid) for owner in one.owners[:1]), one.finished,
        )
        for one in facts(sink, Pod)
    }  # fmt: skip


def told_containers(writer: ClusterWriter, node: str) -> set[Row]:
    pods = writer.listed("pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}")
    return {
        (pod["metadata"]["uid"], one["name"], one["containerID"].removeprefix("containerd://"), one["restartCount"])
        for pod in pods
        for one in pod["status"].get("containerStatuses", ())
    }


def known_containers(sink: RememberingSink) -> set[Row]:
    return {(pod.uid, one.name, one.identifier, one.restarts) for pod in facts(sink, Pod) for one in pod.containers}


def told_services(writer: ClusterWriter) -> set[Row]:
    return {
        (
            one["metadata"]["uid"], one["metadata"]["namespace"], one["metadata"]["name"], one["spec"]["type"],
            tuple(address for address in one["spec"].get("clusterIPs", ()) if address != "None"),
            tuple((port["protocol"].lower(), port["port"], port.get("nodePort", 0)) for port in one["spec"].get("ports", ())),
        )
        for one in writer.listed("services", "--all-namespaces")
    }  # fmt: skip


def known_services(sink: RememberingSink) -> set[Row]:
    return {
        (
            one.uid, one.namespace, one.name, one.kind, tuple(map(text_of, one.cluster_addresses)),
            tuple((port.protocol, port.port, port.node_port) for port in one.ports),
        )
        for one in facts(sink, Service)
    }  # fmt: skip


def told_nodes(writer: ClusterWriter) -> set[Row]:
    return {
        (
            one["metadata"]["uid"], one["metadata"]["name"],
            tuple(a["address"] for a in one["status"].get("addresses", ()) if a["type"] != "Hostname"),
        )
        for one in writer.listed("nodes")
    }  # fmt: skip


def known_nodes(sink: RememberingSink) -> set[Row]:
    return {(one.uid, one.name, tuple(map(text_of, one.addresses))) for one in facts(sink, ClusterNode)}


def facts(sink: RememberingSink, kind: type) -> Iterable[Any]:
    return [one for one in list(sink.now.values()) if isinstance(one, kind)]


def told_slices(writer: ClusterWriter) -> set[Row]:
    return {
        (one["metadata"]["uid"], one["metadata"]["labels"]["kubernetes.io/service-name"], endpoints_of(one))
        for one in writer.listed("endpointslices", "--all-namespaces")
    }


def endpoints_of(body: dict[str, Any]) -> tuple[Row, ...]:
    return tuple(
        (one["addresses"][0], one["targetRef"]["uid"], one["targetRef"]["name"], one["nodeName"])
        for one in body.get("endpoints") or ()
    )


def known_slices(sink: RememberingSink) -> set[Row]:
    return {
        (one.uid, one.service, tuple((text_of(end.address), end.pod_uid, end.pod_name, end.node) for end in one.endpoints))
        for one in facts(sink, EndpointSlice)
    }
