"""The image, the manifests and the unit ask for the same privileges, and for no more than the documents say."""

from __future__ import annotations

import re

from source_files import ROOT

from collector.api.security import OPEN_ROUTES

GRANTED = {"BPF", "PERFMON", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_way_to_run_grants_the_same_capabilities() -> None:
    unit = text_of("deploy/systemd/honeyguide.service")
    for line in re.findall(r"^(?:Ambient|Bounding|CapabilityBounding)\w+=(.*)$", unit, re.MULTILINE):
        assert {name.removeprefix("CAP_") for name in line.split()} == GRANTED
    daemonset = text_of("deploy/kubernetes/daemonset.yaml")
    assert set(re.findall(r"^ {16}- (\w+)", daemonset, re.MULTILINE)) == GRANTED
    for name in ("Dockerfile", "docs/running.md"):
        assert set(re.findall(r"--cap-add=(\w+)", text_of(name))) == GRANTED
    assert {f"CAP_{name}" for name in GRANTED} <= set(re.findall(r"`(CAP_\w+)`", text_of("docs/running.md")))


def test_daemonset_is_not_privileged() -> None:
    daemonset = text_of("deploy/kubernetes/daemonset.yaml")
    for wanted in (
        "privileged: false",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "drop: [ALL]",
        "type: RuntimeDefault",
        "enableServiceLinks: false",
        "hostPID: true",
    ):
        assert wanted in daemonset
    assert "hostNetwork" not in daemonset


def test_what_asks_for_health_needs_no_token() -> None:
    asked = re.findall(r"path: (/\w+z)$", text_of("deploy/kubernetes/daemonset.yaml"), re.MULTILINE)
    asked += re.findall(r"9464(/\w+z)", text_of("Dockerfile"))
    assert len(asked) == 3
    assert set(asked) <= set(OPEN_ROUTES)


def test_versions_of_package_and_image_are_the_same() -> None:
    version = re.search(r'^version = "(.+)"$', text_of("pyproject.toml"), re.MULTILINE)
    assert version is not None
    assert f"newTag: {version[1]}\n" in text_of("deploy/kubernetes/kustomization.yaml")


def test_image_is_built_from_the_files_that_docker_may_see() -> None:
    seen = {line[1:] for line in text_of(".dockerignore").splitlines() if line.startswith("!")}
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text_of("Dockerfile"), re.MULTILINE) for word in line.split()
    }
    assert copied == seen
    assert all((ROOT / name).exists() for name in copied - {"README.md"})
