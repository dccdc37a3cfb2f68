"""What the path of a cgroup says: which pod and container, which container, or which systemd unit. Pure.

Kubernetes names cgroups by driver and runtime (kubelet's pkg/kubelet/cm: cgroupfs `pod<uid>`, systemd
`kubepods-burstable-pod<uid>.slice` with - written as _), every runtime adds its own form for the container.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from collector.workload import WorkloadKind

SHORT_ID = 12  # as every container tool prints it


@dataclass(frozen=True, slots=True)
class CgroupMeaning:
    """name: unit, container or machine name, short container id, or pod UID. namespace: `user-1000` for units of a user."""

    kind: WorkloadKind
    name: str
    namespace: str = ""
    pod_uid: str = ""
    container_id: str = ""


# The UID of a static pod is the MD5 of its file (32 digits), of all others a UUID.
POD = re.compile(r"(?:.*-)?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?")

# Matched against "parent/segment"; the groups are id and name, either may be missing.
CONTAINER_FORMS = tuple(
    re.compile(form)
    for form in (
        # docker, containerd, CRI-O, cri-dockerd, podman, nerdctl, kata: <prefix>-<id>.scope, <prefix>-<id>, <id>
        r".*/(?:[A-Za-z][A-Za-z_-]*[-_])?(?P<id>[0-9a-f]{64})(?:\.scope)?",
        r".*/lxc\.payload\.(?P<name>.+)",
        r"lxc(?:\.payload)?/(?P<name>.+)",
        r".*/machine-(?:(?:qemu|lxc)\\x2d[0-9]+\\x2d)?(?P<name>.+)\.scope",  # machined: nspawn and libvirt
        r"systemd-nspawn@(?P<name>.+)\.service/payload",
        r".*/(?P<id>[0-9a-f]{32}-[0-9]{5,10})",  # ECS on Fargate: task and number
        r"buildkit/(?P<id>[a-z0-9]{25})",
        r".*/(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?P<name>.+)\.scope",  # Nomad: allocation and task
        r"(?:garden|mesos)/(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{4,12})",  # Cloud Foundry, Mesos
    )
)
CONTAINER_MONITOR = re.compile(r"(?P<name>(?:crio|libpod)-conmon)-[0-9a-f]{64}(?:\.scope)?|(?P<lxc>lxc\.monitor)[./].+")
COLON_FORM = re.compile(r"(?P<slice>.*):(?P<runtime>[a-z-]+):(?P<id>[0-9a-f]{64})")  # systemd's notation on a cgroupfs driver
UNIT = re.compile(r".+\.(?:service|scope|socket|mount|swap|timer|path)")
USER = re.compile(r"user@(?P<manager>[0-9]+)\.service|user-(?P<slice>[0-9]+)\.slice")
ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")


def read_cgroup_path(path: str) -> CgroupMeaning | None:
    """None when the path names nothing (the root, a plain slice, a folder of an unknown tool). Takes any text.

    The innermost pod counts, then the innermost container (a container in a pod: the one right below it), then the
    innermost unit. A path without a leading / has lost its beginning: its first segment is not looked at.
    """
    segments = list(_split(path))
    pod = _find_pod(segments)
    if pod is not None:
        position, uid = pod
        container = next(_containers(segments[position:]), ("", ""))
        return CgroupMeaning(WorkloadKind.POD, uid, pod_uid=uid, container_id=container[0])
    containers = list(_containers(segments))
    if containers:
        identifier, name = containers[-1]
        return CgroupMeaning(WorkloadKind.CONTAINER, name or identifier[:SHORT_ID], container_id=identifier)
    return _read_unit(segments)


def _split(path: str) -> Iterator[str]:
    if not path.startswith("/"):
        path = path.partition("/")[2]
    for segment in path.split("/"):
        colon = COLON_FORM.fullmatch(segment)
        if colon:
            yield colon["slice"]
            yield f"{colon['runtime']}-{colon['id']}"
        elif segment:
            yield segment


def _find_pod(segments: list[str]) -> tuple[int, str] | None:
    """(position, UID) of the innermost pod."""
    for position in range(len(segments) - 1, -1, -1):
        found = POD.fullmatch(segments[position])
        if found:
            return position, found["uid"].replace("_", "-")
    return None


def _containers(segments: list[str]) -> Iterator[tuple[str, str]]:
    """(id, name) of each container from the outside in."""
    for parent, segment in zip(["", *segments], segments, strict=False):
        if CONTAINER_MONITOR.fullmatch(segment):
            continue
        pair = f"{parent}/{segment}"
        found = next((match for form in CONTAINER_FORMS if (match := form.fullmatch(pair))), None)
        if found:
            groups = found.groupdict()
            yield groups.get("id") or "", unescape(groups.get("name") or "")


def _read_unit(segments: list[str]) -> CgroupMeaning | None:
    user = ""
    unit = ""
    for segment in segments:
        owner = USER.fullmatch(segment)
        if owner:
            user = f"user-{owner['manager'] or owner['slice']}"
        monitor = CONTAINER_MONITOR.fullmatch(segment)
        if monitor:
            unit = monitor["name"] or monitor["lxc"]
        elif UNIT.fullmatch(segment) and not (segment == "init.scope" and unit):
            unit = segment  # init.scope below another unit is the manager itself: user@1000.service/init.scope
    if not unit:
        return None
    return CgroupMeaning(WorkloadKind.UNIT, unescape(unit), namespace=user)


def unescape(name: str) -> str:
    r"""What systemd-escape(1) did to single characters, undone: \x2d is -."""
    return ESCAPES.sub(lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode(errors="replace"), name)
