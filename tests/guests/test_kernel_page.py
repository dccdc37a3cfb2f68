from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kernel_page import write_page
from matrix import find_faults
from trial_record import Observation, Outcome, Trial, read_lines, write_line

DOCS = Path(__file__).resolve().parents[2] / "docs"
TRACED = Trial("6.1.0-9-amd64", "tcp", "state changes", "traced", "tp_btf/state", "ring", Outcome.EXACT, "", True)
PROBED = replace(TRACED, program="probed", section="kprobe/state", chosen=False)
OLD = "5.10.0-1-amd64"
REFUSED = replace(TRACED, kernel=OLD, outcome=Outcome.REFUSED, reason="no  tracepoint 4711", chosen=False)
FALLEN_BACK = replace(PROBED, kernel=OLD, chosen=True)
SAID = Observation("6.1.0-9-amd64", "no BTF", "honeyguide run", 1, "There is no BTF. -> Take another kernel.", True)


def test_shipped_page_is_made_of_the_shipped_results() -> None:
    assert (DOCS / "kernels.md").read_text() == write_page(*read_lines((DOCS / "kernels.jsonl").read_text()))


def test_lines_come_back_as_they_were_written() -> None:
    assert read_lines(write_line(TRACED) + write_line(SAID)) == ([TRACED], [SAID])


def test_page_says_what_works_what_was_chosen_and_why_not() -> None:
    page = write_page([TRACED, PROBED, REFUSED, FALLEN_BACK], [SAID])
    assert "| probe | 5.10.0-1-amd64 | 6.1.0-9-amd64 |" in page
    assert "| tcp | exact, falls back to probed (kprobe/state) | exact |" in page
    assert "| state changes | `tp_btf/state` | traced | refused (1) | **exact** |" in page
    assert "| state changes | `kprobe/state` | probed | **exact** | exact |" in page
    assert "1. no tracepoint N\n" in page
    assert "| no BTF | 6.1.0-9-amd64 | honeyguide run | 1 | There is no BTF. -> Take another kernel. |" in page


def test_way_of_a_whole_probe_that_stands_in_for_the_first_is_named() -> None:
    first = replace(TRACED, hook="tracepoints: state", outcome=Outcome.REFUSED, reason="none here", chosen=False)
    other = replace(PROBED, hook="function probes: state", chosen=True)
    assert "| tcp | exact, falls back to function probes |" in write_page([first, other], [])


def test_transports_that_differ_are_both_named() -> None:
    wrong = replace(TRACED, transport="perf", outcome=Outcome.DIFFERS, reason="22 rows")
    assert "ring: **exact**, perf: *differs* (1)" in write_page([TRACED, wrong], [])


def test_faults_are_wrong_numbers_probes_without_any_way_and_broken_promises() -> None:
    assert find_faults([TRACED, PROBED, REFUSED, FALLEN_BACK, SAID]) == []
    faults = find_faults([replace(TRACED, outcome=Outcome.DIFFERS, reason="22 rows"), REFUSED, replace(SAID, kept=False)])
    assert [fault.split(":")[1].strip() for fault in faults] == [
        "tcp by tp_btf/state over ring",
        "tcp does not run",
        "tcp does not run",
        "no BTF",
    ]
