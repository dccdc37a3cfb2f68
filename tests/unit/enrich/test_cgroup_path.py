"""Paths as real drivers, runtimes and init systems write them, and what each must be read as."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrich.cgroup_path import CgroupMeaning, read_cgroup_path
from collector.workload import WorkloadKind

UID = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9"
UNDERSCORED = UID.replace("-", "_")
STATIC = "5a0fb5b0d7ee3d4a9c7b9d1f1e5d2c3a"
ONE = "3c6f0a" + "9d" * 29
TWO = "7be21f" + "40" * 29


def pod(container: str = "", uid: str = UID) -> CgroupMeaning:
    return CgroupMeaning(WorkloadKind.POD, uid, pod_uid=uid, container_id=container)


def container(identifier: str = "", name: str = "") -> CgroupMeaning:
    return CgroupMeaning(WorkloadKind.CONTAINER, name or identifier[:12], container_id=identifier)


def unit(name: str, namespace: str = "") -> CgroupMeaning:
    return CgroupMeaning(WorkloadKind.UNIT, name, namespace=namespace)


SLICE = "/kubepods.slice"
BURSTABLE = f"{SLICE}/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice"
BEST_EFFORT = f"{SLICE}/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDERSCORED}.slice"
GUARANTEED = f"{SLICE}/kubepods-pod{UNDERSCORED}.slice"
KIND = f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{UNDERSCORED}.slice"
USER = "/user.slice/user-1000.slice/user@1000.service"

CORPUS = {
    # Kubernetes, systemd driver
    f"{BURSTABLE}/cri-containerd-{ONE}.scope": pod(ONE),
    f"{BEST_EFFORT}/cri-containerd-{ONE}.scope": pod(ONE),
    f"{GUARANTEED}/cri-containerd-{ONE}.scope": pod(ONE),
    f"{BURSTABLE}/crio-{ONE}.scope": pod(ONE),
    f"{BURSTABLE}/crio-{ONE}.scope/container": pod(ONE),
    f"{BURSTABLE}/crio-{ONE}": pod(ONE),
    f"{BURSTABLE}/docker-{ONE}.scope": pod(ONE),
    f"{BURSTABLE}/docker-{ONE}.scope/init": pod(ONE),
    f"{BURSTABLE}/cri-dockerd-{ONE}.scope": pod(ONE),
    f"{BURSTABLE}/kata_{ONE}": pod(ONE),
    BURSTABLE: pod(),
    GUARANTEED: pod(),
    f"{SLICE}/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/cri-containerd-{ONE}.scope": pod(ONE, STATIC),
    f"{BURSTABLE}/crio-conmon-{ONE}.scope": pod(),
    f"{BURSTABLE}/cri-containerd-{ONE}.scope/system.slice/nginx.service": pod(ONE),
    f"{BURSTABLE}/cri-containerd-{ONE}.scope/docker/{TWO}": pod(ONE),
    # Kubernetes, cgroupfs driver; v1 and v2 look alike
    f"/kubepods/burstable/pod{UID}/{ONE}": pod(ONE),
    f"/kubepods/besteffort/pod{UID}/{ONE}": pod(ONE),
    f"/kubepods/pod{UID}/{ONE}": pod(ONE),
    f"/kubepods/burstable/pod{UID}/crio-{ONE}": pod(ONE),
    f"/kubepods/burstable/pod{STATIC}/{ONE}": pod(ONE, STATIC),
    f"/kubepods/burstable/pod{UID}": pod(),
    f"/kubepods/burstable/pod{UID}/{ONE}/init.scope": pod(ONE),
    # a kubelet on the systemd notation above a runtime on cgroupfs
    f"/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{ONE}": pod(ONE),
    f"/system.slice/containerd.service/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{ONE}": pod(ONE),
    f"/kubepods-pod{UNDERSCORED}.slice:crio:{ONE}": pod(ONE),
    f"{BURSTABLE}:cri-containerd:{ONE}": pod(ONE),
    # clusters inside something: k3s, microk8s, kind, k3d
    f"/system.slice/k3s.service/kubepods/besteffort/pod{UID}/{ONE}": pod(ONE),
    f"/system.slice/snap.microk8s.daemon-kubelite.service/kubepods/burstable/pod{UID}/{ONE}": pod(ONE),
    f"/docker/{TWO}/kubelet/kubepods/burstable/pod{UID}/{ONE}": pod(ONE),
    f"/docker/{TWO}{KIND}/cri-containerd-{ONE}.scope": pod(ONE),
    f"/system.slice/docker-{TWO}.scope{KIND}/cri-containerd-{ONE}.scope": pod(ONE),
    f"/docker/{TWO}/kubepods/besteffort/pod{UID}/{ONE}": pod(ONE),
    f"/system.slice/docker-{TWO}.scope/system.slice/containerd.service": container(TWO),
    f"/docker/{TWO}/init.scope": container(TWO),
    # cut at the front by the kernel record
    f"ernetes.slice/kubepods-pod{UNDERSCORED}.slice/crio-{ONE}.scope": pod(ONE),
    f"{ONE[:20]}/system.slice/nginx.service": unit("nginx.service"),
    # seen from inside a cgroup namespace
    f"/../../kubepods/burstable/pod{UID}/{ONE}": pod(ONE),
    # containers without Kubernetes
    f"/docker/{ONE}": container(ONE),
    f"/system.slice/docker-{ONE}.scope": container(ONE),
    f"{USER}/user.slice/docker-{ONE}.scope": container(ONE),
    f"/docker/{TWO}/docker/{ONE}": container(ONE),
    f"/system.slice:docker:{ONE}": container(ONE),
    f"/default/{ONE}": container(ONE),
    f"/system.slice/nerdctl-{ONE}.scope": container(ONE),
    f"{USER}/user.slice/nerdctl-{ONE}.scope": container(ONE),
    f"/machine.slice/libpod-{ONE}.scope": container(ONE),
    f"/machine.slice/libpod-{ONE}.scope/container": container(ONE),
    f"/machine.slice/libpod_pod_{TWO}.slice/libpod-{ONE}.scope": container(ONE),
    f"{USER}/user.slice/libpod-{ONE}.scope/container": container(ONE),
    f"/libpod_parent/libpod-{ONE}": container(ONE),
    f"/libpod_parent/{TWO}/libpod-{ONE}": container(ONE),
    f"/machine.slice/libpod-conmon-{ONE}.scope": unit("libpod-conmon"),
    f"/system.slice/crio-conmon-{ONE}.scope": unit("crio-conmon"),
    f"/ecs/0f2b1d9c4e5a4a0f9f6c0d1e2f3a4b5c/{ONE}": container(ONE),
    "/ecs/0f2b1d9c4e5a4a0f9f6c0d1e2f3a4b5c/0f2b1d9c4e5a4a0f9f6c0d1e2f3a4b5c-1234567890": container(
        "0f2b1d9c4e5a4a0f9f6c0d1e2f3a4b5c-1234567890"
    ),
    "/docker/buildkit/r4x7k2m9q1z8v5c3b6n0p4s7d": container("r4x7k2m9q1z8v5c3b6n0p4s7d"),
    "/system.slice/docker.service/buildkit/r4x7k2m9q1z8v5c3b6n0p4s7d": container("r4x7k2m9q1z8v5c3b6n0p4s7d"),
    "/system.slice/garden.service/garden/8a1f2b3c-4d5e-6f70-8192-a3b4": container("8a1f2b3c-4d5e-6f70-8192-a3b4"),
    f"/mesos/{UID}": container(UID),
    f"/nomad.slice/share.slice/{UID}.web.scope": container(UID, "web"),
    "/lxc/web1": container(name="web1"),
    "/lxc/web1/init.scope": container(name="web1"),
    "/lxc.payload/web1": container(name="web1"),
    "/lxc.payload.web1/system.slice/nginx.service": container(name="web1"),
    "/lxc.monitor.web1": unit("lxc.monitor"),
    "/machine.slice/machine-build\\x2dbox.scope": container(name="build-box"),
    "/machine.slice/systemd-nspawn@box.service/payload/system.slice/cron.service": container(name="box"),
    "/machine.slice/systemd-nspawn@box.service/supervisor": unit("systemd-nspawn@box.service"),
    "/machine.slice/machine-qemu\\x2d3\\x2dwindows.scope/libvirt/emulator": container(name="windows"),
    # systemd
    "/system.slice/nginx.service": unit("nginx.service"),
    "/system.slice/docker.service": unit("docker.service"),
    "/system.slice/docker.service/supervise": unit("docker.service"),
    "/system.slice/system-getty.slice/getty@tty1.service": unit("getty@tty1.service"),
    "/system.slice/system-systemd\\x2dfsck.slice/systemd-fsck@dev-disk-by\\x2duuid-67E3.service": unit(
        "systemd-fsck@dev-disk-by-uuid-67E3.service"
    ),
    "/system.slice/caf\\xc3\\xa9.service": unit("café.service"),
    "/system.slice/ssh.socket": unit("ssh.socket"),
    "/system.slice/run-u123.service": unit("run-u123.service"),
    "/kubelet.slice/kubelet.service": unit("kubelet.service"),
    "/runtime.slice/containerd.service": unit("containerd.service"),
    "/init.scope": unit("init.scope"),
    "/user.slice/user-1000.slice/session-3.scope": unit("session-3.scope", "user-1000"),
    f"{USER}/app.slice/syncthing.service": unit("syncthing.service", "user-1000"),
    f"{USER}/init.scope": unit("user@1000.service", "user-1000"),
    f"{USER}/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope": unit("vte-spawn-1.scope", "user-1000"),
    # nothing
    "/": None,
    "": None,
    "/system.slice": None,
    "/user.slice/user-1000.slice": None,
    SLICE: None,
    "/kubepods/burstable": None,
    "/process_api/de9167efbdeac96e47d6524a932fa7c0": None,
    f"/kubepods/burstable/pod{UID[:-1]}": None,
    f"/docker/{ONE[:-1]}": None,
    "/my-podcast": None,
}


@pytest.mark.parametrize(("path", "meaning"), CORPUS.items())
def test_path_is_read_as_its_author_meant_it(path: str, meaning: CgroupMeaning | None) -> None:
    assert read_cgroup_path(path) == meaning


def test_corpus_is_as_large_as_promised() -> None:
    assert len(CORPUS) >= 50


FRAGMENTS = st.sampled_from([part for path in CORPUS for part in path.split("/")] + [":", "\\x", "\\xff", "pod", ".scope", ".."])


@given(st.one_of(st.text(), st.lists(FRAGMENTS).map("/".join), st.lists(FRAGMENTS).map(lambda parts: "/" + "".join(parts))))
def test_no_text_raises_and_every_meaning_has_a_name(path: str) -> None:
    meaning = read_cgroup_path(path)
    assert meaning is None or meaning.name


@given(st.sampled_from([path for path, meaning in CORPUS.items() if meaning]), st.lists(st.sampled_from(["/a", "/b-1", "/x_y"])))
def test_folders_below_a_named_cgroup_belong_to_it(path: str, folders: list[str]) -> None:
    below = path + "".join(folders)
    if "init.scope" not in path and path.rsplit("/", 1)[-1] != "lxc":
        assert read_cgroup_path(below) == CORPUS[path]
