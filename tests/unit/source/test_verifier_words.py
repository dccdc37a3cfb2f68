"""Real verifier logs (6.1 and 6.18), shortened to the lines around the verdict."""

from __future__ import annotations

import pytest

from collector.source.verifier_words import explain_log

NULL_6_18 = """\
; COUNT(ACCOUNT_SIGNALS, seen); @ probe.bpf.c:20
41: (bf) r7 = r0                      ; R0=0 R7_w=0
; record->number = 1; @ probe.bpf.c:22
42: (7b) *(u64 *)(r7 +16) = r1
R7 invalid mem access 'scalar'
processed 42 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 3 mark_read 2
"""


def test_place_and_code_come_with_the_cause() -> None:
    verdict = explain_log(NULL_6_18)
    assert verdict is not None
    assert verdict.cause.startswith("probe.bpf.c:22 (record->number = 1;): it uses a pointer that may be NULL")
    assert "R7 invalid mem access 'scalar'" in verdict.cause
    assert "if (!pointer) return 0;" in verdict.remedy


def test_older_kernels_name_the_code_without_its_line() -> None:
    verdict = explain_log("; value = *pointer;\n3: (61) r1 = *(u32 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n")
    assert verdict is not None
    assert verdict.cause.startswith("at `value = *pointer;`: it uses a pointer that may be NULL")


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("R1 invalid mem access 'inv'", "does not know as a pointer"),
        ("Unreleased reference id=3 alloc_insn=12", "neither submitted nor discarded"),
        ("infinite loop detected at insn 9", "whose end the verifier cannot see"),
        ("back-edge from insn 7 to 3", "whose end the verifier cannot see"),
        ("BPF program is too large. Processed 1000001 insn", "too long"),
        ("combined stack size of 2 calls is 544. Too large", "512 bytes of stack"),
        ("invalid indirect read from stack R2 off -24+4 size 24", "never set"),
        ("unknown func bpf_d_path#147", "does not offer"),
        ("program of this type cannot use helper bpf_get_stack#67", "does not offer"),
        ("cannot call GPL-restricted function from non-GPL compatible program", "GPL"),
        ("R2 unbounded memory access, use 'var &= const' or 'if (var < const)'", "past the end"),
        ("R0 !read_ok", "return a value"),
    ],
)
def test_verdicts_are_told_in_words(line: str, cause: str) -> None:
    verdict = explain_log(f"0: (b7) r1 = 0\n{line}\nprocessed 9 insns\n")
    assert verdict is not None
    assert cause in verdict.cause
    assert verdict.remedy


def test_what_is_not_known_is_not_guessed() -> None:
    assert explain_log("something new\nprocessed 1 insns\n") is None
    assert explain_log("") is None
