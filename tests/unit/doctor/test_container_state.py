"""What the doctor says about the files that name containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.doctor.container_state import inspect_container_state
from collector.doctor.finding import Verdict
from collector.runtimes.places import find_host_root


def test_every_runtime_with_state_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "var/lib/docker/containers").mkdir(parents=True)
    (tmp_path / "run/runc").mkdir(parents=True)
    found = list(inspect_container_state(tmp_path))
    assert [(one.subject, one.verdict) for one in found] == [("docker", Verdict.YES), ("runc, crun", Verdict.YES)]
    assert found[0].detail == str(tmp_path / "var/lib/docker/containers")


def test_no_state_at_all_is_worth_a_note(tmp_path: Path) -> None:
    [found] = inspect_container_state(tmp_path)
    assert (found.verdict, "hostPID" in found.detail) == (Verdict.NOTE, True)


def test_state_that_may_not_be_read_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run/runc").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may read everything
    [found] = inspect_container_state(tmp_path)
    assert (found.verdict, "CAP_DAC_READ_SEARCH" in found.remedy) == (Verdict.NO, True)


def test_the_hosts_root_is_the_first_that_may_be_looked_at(tmp_path: Path) -> None:
    assert find_host_root((tmp_path / "absent", tmp_path)) == tmp_path
    assert find_host_root((tmp_path / "absent",)) == tmp_path / "absent"
