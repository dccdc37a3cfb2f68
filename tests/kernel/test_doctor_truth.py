"""The doctor's table against what really loads and attaches in this kernel. Runs on the host and in guests (./test-kernels)."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import pytest
from probe_trial import PROBES, open_source

from collector.catalog.probe_folder import find_folders
from collector.errors import HoneyguideError

pytestmark = pytest.mark.kernel

# The doctor's subject -> a shipped probe that uses it, what forces that, and over which transport.
USES = {
    "ring buffer": ("tcp", "", "ring"),
    "perf buffer": ("tcp", "", "perf"),
    "tracepoint": ("packet_drop", "tracepoint", "auto"),
    "BTF tracepoint": ("tcp", "tp_btf", "auto"),
    "kprobe": ("tcp", "kprobe", "auto"),
    "fentry": ("tcp", "fentry", "auto"),
    "uprobe": ("tls_data", "uprobe", "auto"),
    "iterator": ("tcp", "iter", "auto"),
    "cgroup_skb": ("udp", "cgroup_skb", "auto"),
}


@functools.cache
def report() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "collector", "doctor", "--json"],
        cwd=PROBES.parent, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def used_hooks(probe: str, word: str = "", transport: str = "auto") -> list[str]:
    """Sections of the programs that are attached now; HoneyguideError when it does not load."""
    source = open_source(probe, transport, [f"{probe}={word}"] if word else [])
    try:
        return [hook.section for status in source.statuses() if status.probe == probe for hook in status.hooks]
    finally:
        source.close()


@pytest.mark.parametrize("subject", USES)
def test_a_way_is_called_open_exactly_when_a_probe_can_take_it(subject: str) -> None:
    (finding,) = [one for one in report()["hooks"] if one["subject"] == subject]
    try:
        opened, reason = bool(used_hooks(*USES[subject])), ""
    except HoneyguideError as error:
        opened, reason = False, error.cause
    assert (finding["verdict"] == "yes") == opened, (finding, reason)


def test_every_way_that_the_doctor_tries_is_checked_here() -> None:
    assert {one["subject"] for one in report()["hooks"]} == USES.keys() | {"bpf()"}


@pytest.mark.parametrize("probe", [folder.name for folder in find_folders([PROBES])])
def test_a_probe_is_called_running_exactly_when_it_loads_and_with_the_same_hooks(probe: str) -> None:
    (told,) = [one for one in report()["probes"] if one["probe"] == probe]
    try:
        hooks = used_hooks(probe)
    except HoneyguideError:
        hooks = []
    assert [hook["section"] for hook in told["hooks"]] == hooks
    assert told["state"] == ("running" if hooks else "refused")


def test_every_no_has_a_cause_and_a_remedy() -> None:
    findings = [one for group in ("kernel", "privileges", "hooks", "software") for one in report()[group]]
    silent = [one for one in findings if one["verdict"] == "no" and not (one["cause"] and one["remedy"])]
    silent += [one for one in report()["probes"] if one["state"] == "refused" and not (one["cause"] and one["remedy"])]
    assert silent == []
