"""What the annotations of an OCI bundle (config.json, runtime-spec: config.md) say, whoever wrote them. Pure.

containerd's CRI plugin writes io.kubernetes.cri.* (pkg/cri/annotations), CRI-O io.kubernetes.* and io.kubernetes.cri-o.*
(pkg/annotations), nerdctl its own labels (pkg/labels). docker-shim used CRI-O's io.kubernetes.* as labels.
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.runtimes.description import Description, choose_labels, clean_text, embedded, read_address, read_time

CRI = "io.kubernetes.cri."
CRIO = "io.kubernetes.cri-o."
NAMES = {  # what -> its annotation by family
    "containerd": {
        "kind": f"{CRI}container-type",
        "name": f"{CRI}container-name",
        "image": f"{CRI}image-name",
        "pod_name": f"{CRI}sandbox-name",
        "pod_namespace": f"{CRI}sandbox-namespace",
        "pod_uid": f"{CRI}sandbox-uid",
    },
    "cri-o": {
        "kind": f"{CRIO}ContainerType",
        "name": "io.kubernetes.container.name",
        "image": f"{CRIO}ImageName",
        "pod_name": "io.kubernetes.pod.name",
        "pod_namespace": "io.kubernetes.pod.namespace",
        "pod_uid": "io.kubernetes.pod.uid",
    },
    "nerdctl": {"name": "nerdctl/name"},
}


def describe_annotations(annotations: Mapping[str, str], labels: tuple[str, ...], *, trusted: bool) -> Description | None:
    """None when they name nothing."""
    for runtime, names in NAMES.items():
        said = {what: clean_text(annotations.get(name, "")) for what, name in names.items()}
        sandbox = said.get("kind") == "sandbox"
        if not said["name"] and not sandbox:
            continue
        if said.get("pod_name") or runtime == "nerdctl":
            return Description(
                name="" if sandbox else said["name"],
                runtime=runtime,
                image="" if sandbox else said.get("image", ""),
                pod_name=said.get("pod_name", ""),
                pod_namespace=said.get("pod_namespace", ""),
                pod_uid=said.get("pod_uid", ""),
                sandbox=sandbox,
                labels=choose_labels({**annotations, **embedded(annotations.get(f"{CRIO}Labels", ""))}, labels),
                addresses=read_addresses(annotations),
                started_at=read_time(annotations.get(f"{CRIO}Created")),
                trusted=trusted,
            )
    return None


def read_addresses(annotations: Mapping[str, str]) -> tuple[bytes, ...]:
    """The pod's, which CRI-O alone writes; a pod of the host's network has the node's, or none."""
    found = (read_address(annotations.get(f"{CRIO}IP.{index}")) for index in range(2))
    return tuple(address for address in found if address)
