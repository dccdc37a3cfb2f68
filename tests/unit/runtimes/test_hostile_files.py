"""Files that a user may have written, or that are damaged, are counted and hurt nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.runtimes.host_files import HostFiles
from collector.runtimes.question import ask
from collector.runtimes.runtime_table import describe
from runtimes.host_tree import DOCKER, IDENTIFIER, STORAGE, TASKS, describe_here, place, write

BUNDLES = (DOCKER, f"{TASKS}/k8s.io/{IDENTIFIER}/config.json", f"{STORAGE}/containers.json", f"run/runc/{IDENTIFIER}/state.json")


def refused(root: Path) -> dict[str, int]:
    """Asks once; what was refused, by reason."""
    files = HostFiles(root, largest=1 << 16)
    assert describe(ask(IDENTIFIER, "/", files, ()), files) is None
    return dict(files.refused)


@pytest.mark.parametrize("path", BUNDLES)
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{", b"7", b'"text"', b"[" * 60000, b"1" * 5000], ids=lambda content: repr(content[:6])
)
def test_a_malformed_file_is_counted(tmp_path: Path, path: str, content: bytes) -> None:
    write(tmp_path, path, content)
    assert refused(tmp_path) == {"malformed": 1}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, DOCKER, b" " * (1 << 16) + b"{}")
    assert refused(tmp_path) == {"too_large": 1}


def test_a_fifo_a_socket_and_a_device_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / DOCKER).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / DOCKER)
    (tmp_path / f"run/runc/{IDENTIFIER}").mkdir(parents=True)
    (tmp_path / f"run/runc/{IDENTIFIER}/state.json").symlink_to("/dev/zero")
    (tmp_path / f"run/runc/{IDENTIFIER}/status").mkdir()
    assert refused(tmp_path) == {"special": 2}


def test_a_link_leads_nowhere_outside_of_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "host", tmp_path / "outside"
    place(outside, "config.v2.json", "docker_container.json")
    (root / DOCKER).parent.mkdir(parents=True)
    for target in (outside / "config.v2.json", Path("../" * 12) / str(outside).lstrip("/") / "config.v2.json"):
        (root / DOCKER).unlink(missing_ok=True)
        (root / DOCKER).symlink_to(target)
        assert describe_here(root) is None


def test_a_link_inside_the_root_is_followed_as_the_host_would(tmp_path: Path) -> None:
    place(tmp_path, DOCKER.replace("var/lib/docker", "data/docker"), "docker_container.json")
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/docker").symlink_to("/data/docker")
    found = describe_here(tmp_path)
    assert found is not None
    assert found.name == "web"


def test_a_bundle_path_that_climbs_stays_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "host"
    state = {"config": {"labels": ["bundle=/../../outside"]}}
    write(root, f"run/runc/{IDENTIFIER}/state.json", json.dumps(state).encode())
    place(tmp_path, "outside/config.json", "nerdctl_bundle.json")
    assert describe_here(root) is None


def test_a_folder_full_of_namespaces_is_looked_through_only_so_far(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / TASKS / f"namespace-{number}").mkdir(parents=True)
    assert len(HostFiles(tmp_path).folders(TASKS)) == 64


def test_labels_are_chosen_by_pattern_and_bounded(tmp_path: Path) -> None:
    document = {"Name": "/web", "Config": {"Labels": {f"org.example.{number}": "1" for number in range(500)} | {"secret": "x"}}}
    write(tmp_path, DOCKER, json.dumps(document).encode())
    found = describe_here(tmp_path, labels=("org.*",))
    assert found is not None
    assert len(found.labels) == 32
    assert "secret" not in found.labels


def test_names_are_cut_and_lose_what_no_name_has(tmp_path: Path) -> None:
    document = {"Name": "/a\n\u001b[31m" + "x" * 1000, "Config": {"Labels": {"k": "\ud800" + "y" * 5000}, "Image": 7}}
    write(tmp_path, DOCKER, json.dumps(document).encode())
    found = describe_here(tmp_path, labels=("k",))
    assert found is not None
    assert found.name.startswith("a??[31mx")
    assert len(found.name) <= 253
    assert found.image == ""
    assert found.labels["k"].startswith("?y")
    assert len(found.labels["k"]) == 1024
    found.labels["k"].encode()


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["/web", "{}", "[1]", "2026-13-99T"])
KEYS = st.sampled_from(
    ["Name", "Config", "Labels", "State", "annotations", "config", "labels", "metadata", "id", "names", "bundle", "created",
     "io.kubernetes.cri.container-name", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri-o.Labels", "nerdctl/name"]
)  # fmt: skip
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)


@given(document=DOCUMENTS, path=st.sampled_from(BUNDLES))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_document_raises(tmp_path: Path, document: object, path: str) -> None:
    written = write(tmp_path, path, json.dumps(document).encode())
    describe_here(tmp_path, labels=("Name",))
    written.unlink()
