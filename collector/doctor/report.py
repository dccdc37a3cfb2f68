"""What the doctor says: as aligned text for people, as JSON for scripts."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from collector.doctor.finding import Finding, Verdict
from collector.probe_status import ProbeState, ProbeStatus

ALL_RUN, SOME_RUN, NONE_RUN = 0, 1, 3

_COLOURS = {Verdict.YES: "\033[32m", Verdict.NO: "\033[31m", Verdict.NOTE: "\033[2m"}
_PLAIN = "\033[0m"
_SUBJECT_WIDTH = 26
_INDENT = 2 + 6 + _SUBJECT_WIDTH


@dataclass(frozen=True, slots=True)
class Report:
    """groups: heading -> findings; probes: what became of every probe folder when it was tried."""

    groups: Mapping[str, Sequence[Finding]]
    probes: Sequence[ProbeStatus]

    @property
    def exit_status(self) -> int:
        """0 every probe that is not switched off can run, 1 some cannot, 3 none with a hook can: the agent does not start."""
        tried = [status for status in self.probes if status.state is not ProbeState.DISABLED]
        running = sum(status.state is ProbeState.RUNNING for status in tried)
        if not any(status.hooks for status in tried):
            return NONE_RUN
        return ALL_RUN if running == len(tried) else SOME_RUN


def write_json(report: Report) -> str:
    """The report with stable keys; verdicts and states by name."""
    groups = {
        heading: [{"subject": one.subject} | asdict(one) | {"verdict": one.verdict.value} for one in findings]
        for heading, findings in report.groups.items()
    }
    probes = [
        {
            "probe": status.probe,
            "question": status.question,
            "state": status.state.value,
            "hooks": [asdict(hook) for hook in status.hooks],
            "cause": status.cause,
            "remedy": status.remedy,
        }
        for status in report.probes
    ]
    return json.dumps({"exit_status": report.exit_status, **groups, "probes": probes}, indent=2) + "\n"


def write_text(report: Report, width: int, *, colour: bool) -> str:
    """One block per group; width: columns of the terminal."""
    blocks = {**report.groups, "probes": [_of_probe(status) for status in report.probes]}
    parts = [
        heading + "\n" + "".join(_line(finding, width, colour=colour) for finding in findings)
        for heading, findings in blocks.items()
    ]
    return "\n".join([*parts, _summary(report)])


def _of_probe(status: ProbeStatus) -> Finding:
    verdicts = {ProbeState.RUNNING: Verdict.YES, ProbeState.DISABLED: Verdict.NOTE}
    sections = ", ".join(dict.fromkeys(hook.section for hook in status.hooks))
    verdict = verdicts.get(status.state, Verdict.NO)
    detail = sections if verdict is Verdict.YES else status.cause
    return Finding(status.probe, verdict, detail, status.cause, status.remedy)


def _line(finding: Finding, width: int, *, colour: bool) -> str:
    verdict = f"{finding.verdict.value:6}"
    if colour:
        verdict = _COLOURS[finding.verdict] + verdict + _PLAIN
    head = f"  {verdict}{finding.subject:{_SUBJECT_WIDTH}}"
    if finding.verdict is not Verdict.NO:
        return head + _wrap(finding.detail, width, "") + "\n"
    remedy = f"{' ' * _INDENT}{_wrap(finding.remedy, width, '-> ')}\n" if finding.remedy else ""
    return head + _wrap(finding.cause, width, "") + "\n" + remedy


def _wrap(text: str, width: int, mark: str) -> str:
    """Text in a column that starts at _INDENT; later lines stand under its first word."""
    room = max(width - _INDENT - len(mark), 24)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return mark + ("\n" + " " * (_INDENT + len(mark))).join(lines)


def _summary(report: Report) -> str:
    running = sum(status.state is ProbeState.RUNNING for status in report.probes)
    disabled = sum(status.state is ProbeState.DISABLED for status in report.probes)
    total = len(report.probes) - disabled
    if report.exit_status == NONE_RUN:
        return "No probe can run here. `honeyguide replay FILE --serve` shows a recording, without privileges.\n"
    switched_off = f", {disabled} switched off" if disabled else ""
    return f"{running} of {total} probes can run here{switched_off}.\n"
