"""What the kernel's verifier says, in words for people: the place in the source, what is wrong, what helps. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

SOURCE_LINE = re.compile(r"^; (?P<code>.*?)(?: @ (?P<file>[^ ]+):(?P<line>\d+))?$")
LOOK_BACK = 400  # lines before the verdict among which its source line is


class Meaning(NamedTuple):
    """pattern: of the verifier's words. cause, remedy: ours."""

    pattern: re.Pattern[str]
    cause: str
    remedy: str


NULL = Meaning(
    re.compile(r"invalid mem access '(map_value|mem|ringbuf_mem|sock\w*|alloc_mem)_or_null'"),
    "it uses a pointer that may be NULL",
    "Check the result of a map look-up or a reservation before using it: if (!pointer) return 0;",
)
NUMBER = Meaning(
    re.compile(r"(?P<register>R\d+) invalid mem access '(scalar|inv)'"),
    "it reads memory through a number that the kernel does not know as a pointer",
    "Read kernel memory with BPF_CORE_READ or bpf_probe_read_kernel, user memory with bpf_probe_read_user.",
)
MEANINGS = (
    NULL,
    NUMBER,
    Meaning(
        re.compile(r"Unreleased reference"),
        "a record is reserved and on some way neither submitted nor discarded",
        "Submit or discard it before every return.",
    ),
    Meaning(
        re.compile(r"infinite loop detected|back-edge"),
        "it has a loop whose end the verifier cannot see",
        "Bound the loop by a constant, or use bpf_loop.",
    ),
    Meaning(
        re.compile(r"(program|sequence of \d+ jumps) is too (large|complex)|too many (instructions|states)"),
        "it is too long for the verifier, mostly because of loops",
        "Make loops shorter, or move their body into a function called by bpf_loop.",
    ),
    Meaning(
        re.compile(r"combined stack size|stack depth|invalid write to stack|stack limit"),
        "it needs more than 512 bytes of stack",
        "Keep large structs in a per-CPU array with one entry.",
    ),
    Meaning(
        re.compile(r"invalid (indirect )?(read|access) (from|to) stack"),
        "it sends bytes that were never set, often padding",
        "Set the whole struct to zero first: struct row row = {}; and write pads out.",
    ),
    Meaning(
        re.compile(r"(unknown func|program of this type cannot use helper|invalid func unknown)"),
        "it calls a function that this kernel does not offer to this kind of program",
        "Use another helper, or another hook; bpf-helpers(7) says which kind may call what.",
    ),
    Meaning(
        re.compile(r"cannot call GPL-restricted function"),
        "it calls a helper that only programs under the GPL may call",
        'Say so in the source: char LICENSE[] SEC("license") = "GPL"; (or "Dual BSD/GPL").',
    ),
    Meaning(
        re.compile(r"outside of the (allowed memory|map value)|invalid access to map value|(min|max) value is|unbounded"),
        "it may read or write past the end of a map's value or an array",
        "Check the index or the length against a constant right before its use.",
    ),
    Meaning(
        re.compile(r"R0 !read_ok"),
        "it does not return a value on every way",
        "End every way with return 0;",
    ),
    Meaning(
        re.compile(r"At program exit the register R0 has"),
        "it returns a value that this hook does not allow",
        "Return 0.",
    ),
)  # fmt: skip


class Verdict(NamedTuple):
    """cause: with the place in the source where the verifier gave it. remedy: '' when we know none."""

    cause: str
    remedy: str


def explain_log(log: str) -> Verdict | None:
    """What the verifier's log means; None when it says nothing that we know."""
    lines = log.splitlines()
    for index in range(len(lines) - 1, max(len(lines) - LOOK_BACK, 0) - 1, -1):
        for meaning in MEANINGS:
            if not lines[index].startswith(";") and meaning.pattern.search(lines[index]):
                place = source_place(lines[:index])
                known = NULL if meaning is NUMBER and holds_null(lines[:index], lines[index]) else meaning
                return Verdict(f"{place}{known.cause} (the verifier: {lines[index].strip()})", known.remedy)
    return None


def holds_null(lines: list[str], verdict: str) -> bool:
    """Whether the register that the verdict names was last seen to be 0: the way on which a check found NULL and went on."""
    found = NUMBER.pattern.search(verdict)
    state = re.compile(rf"\b{found['register']}(?:_\w+)?=(?P<value>\S+)") if found else None
    values = (match["value"] for line in reversed(lines) if state is not None and (match := state.search(line)))
    return next(values, "").rstrip(")") in ("0", "inv0", "P0")


def source_place(lines: list[str]) -> str:
    """'probe.bpf.c:12 (record->x = 1;): ' for the last source line that the log shows, '' when it shows none."""
    for line in reversed(lines[-LOOK_BACK:]):
        found = SOURCE_LINE.match(line)
        if found:
            code = found["code"].strip()
            return f"{found['file'].rpartition('/')[2]}:{found['line']} ({code}): " if found["file"] else f"at `{code}`: "
    return ""
