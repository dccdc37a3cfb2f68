"""The doctor's report: exit status, text and JSON."""

from __future__ import annotations

import json

import pytest

from collector.doctor.command import inspect_privileges
from collector.doctor.finding import Verdict, no, note, yes
from collector.doctor.report import Report, write_json, write_text
from collector.probe_status import HookStatus, ProbeState, ProbeStatus

RUNNING = ProbeStatus("tcp", "Which?", ProbeState.RUNNING, (HookStatus("state", "program", "tp_btf/x"),))
REFUSED = ProbeStatus("udp", "Which?", ProbeState.REFUSED, cause="no BTF", remedy="another kernel")
DISABLED = ProbeStatus("dns", "Which?", ProbeState.DISABLED, cause="switched off by the settings")
GROUPS = {"kernel": [yes("kernel", "6.1"), no("BTF", "It is missing. " * 8, "Run another kernel."), note("limit", "2")]}


@pytest.mark.parametrize(
    ("probes", "status", "summary"),
    [
        ([RUNNING], 0, "1 of 1 probes can run here."),
        ([RUNNING, DISABLED], 0, "1 of 1 probes can run here, 1 switched off."),
        ([RUNNING, REFUSED], 1, "1 of 2 probes can run here."),
        ([REFUSED], 3, "No probe can run here."),
        ([], 3, "No probe can run here."),
    ],
)
def test_exit_status_tells_scripts_what_people_read(probes: list[ProbeStatus], status: int, summary: str) -> None:
    report = Report(GROUPS, probes)
    assert report.exit_status == status
    assert json.loads(write_json(report))["exit_status"] == status
    assert summary in write_text(report, 100, colour=False)


@pytest.mark.parametrize("width", [20, 80, 200])
def test_text_has_a_remedy_under_every_no_and_keeps_to_the_width(width: int) -> None:
    text = write_text(Report(GROUPS, [RUNNING, REFUSED, DISABLED]), width, colour=False)
    assert "-> Run another kernel." in " ".join(text.split())
    assert "-> another kernel" in text
    assert "\033" not in text
    assert max(len(line) for line in text.splitlines()[:-1]) <= max(width, 60)


def test_colour_is_only_for_terminals() -> None:
    assert "\033[31m" in write_text(Report(GROUPS, []), 80, colour=True)


def test_json_has_stable_keys() -> None:
    content = json.loads(write_json(Report(GROUPS, [RUNNING])))
    assert content["kernel"][0] == {"subject": "kernel", "verdict": "yes", "detail": "6.1", "cause": "", "remedy": ""}
    assert content["probes"][0]["hooks"] == [{"purpose": "state", "program": "program", "section": "tp_btf/x"}]
    assert content["probes"][0].keys() == {"probe", "question", "state", "hooks", "cause", "remedy"}


def test_missing_capability_says_what_goes_missing() -> None:
    findings = {one.subject: one for one in inspect_privileges(frozenset({"CAP_PERFMON"}), (6, 1))}
    assert findings["CAP_PERFMON"].verdict is Verdict.YES
    assert "nothing runs" in findings["CAP_BPF"].cause
    assert "that part" in findings["CAP_SYS_PTRACE"].cause
    assert all(one.remedy for one in findings.values() if one.verdict is Verdict.NO)
