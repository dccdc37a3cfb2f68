"""The doctor on the running kernel: it tries, tells the truth, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel
ROOT = Path(__file__).parents[2]
POWERLESS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")


def examine(*before: str, flags: Sequence[str] = ()) -> tuple[int, dict[str, list[dict[str, str]]]]:
    command = [*before, sys.executable, "-m", "collector", "doctor", "--json", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def verdicts(findings: list[dict[str, str]]) -> dict[str, str]:
    return {one["subject"]: one["verdict"] for one in findings}


def test_root_learns_what_works_and_every_no_has_a_remedy() -> None:
    status, report = examine()
    assert status in {0, 1}
    hooks = verdicts(report["hooks"])
    assert hooks["bpf()"] == hooks["BTF tracepoint"] == hooks["iterator"] == "yes"
    groups = (report["kernel"], report["privileges"], report["hooks"], report["software"])
    refused = [one for findings in groups for one in findings if one["verdict"] == "no"]
    assert all(one["cause"] and one["remedy"] for one in refused)
    assert {one["state"] for one in report["probes"]} <= {"running", "refused"}


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
def test_powerless_root_is_told_which_privileges_are_missing() -> None:
    status, report = examine(*POWERLESS)
    assert status == 3
    assert set(verdicts(report["hooks"]).values()) == {"no"}
    assert "CAP_BPF" in report["hooks"][0]["remedy"]
    assert {one["state"] for one in report["probes"]} == {"refused"}


GRANTED = "+bpf,+perfmon,+net_admin,+sys_ptrace,+dac_read_search"
ROOT_OF_A_CONTAINER = ("setpriv", f"--bounding-set=-all,{GRANTED}", "--inh-caps=-all")
USER_OF_THE_UNIT = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"),
    *(f"--inh-caps=-all,{GRANTED}", f"--ambient-caps={GRANTED}", f"--bounding-set=-all,{GRANTED}"),
)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
@pytest.mark.parametrize("before", [ROOT_OF_A_CONTAINER, USER_OF_THE_UNIT], ids=["container", "unit"])
def test_capabilities_granted_in_deploy_are_enough(before: tuple[str, ...]) -> None:
    """Every probe that root can run runs with what the DaemonSet and the systemd unit grant."""
    _, as_root = examine()
    _, restricted = examine(*before)
    states = [{one["probe"]: one["state"] for one in report["probes"]} for report in (as_root, restricted)]
    assert states[0] == states[1]


def test_switched_off_probe_is_not_tried() -> None:
    status, report = examine(flags=["--probes", "tcp"])
    assert {one["probe"]: one["state"] for one in report["probes"] if one["state"] != "disabled"}.keys() == {"tcp"}
    assert status in {0, 3}
