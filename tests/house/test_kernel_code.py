"""Naive rules for the C that runs in the kernel; the verifier knows the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from source_files import list_kernel_code, name_of

MAP = re.compile(r"struct \{([^{}]*)\} \w+(?:##\w+)? SEC\(\"\.maps\"\)")
FUNCTION_END = re.compile(r"^\}", re.MULTILINE)

FORBIDDEN = {
    r"bpf_(trace_)?printk": "prints into a pipe that all of the node shares",
    r"__attribute__\(\(packed\)\)|#pragma pack": "pads are written out instead",
    r"LINUX_KERNEL_VERSION|KERNEL_VERSION\(": "belongs in kernel_compat.bpf.h",
    r"\bbpf_ktime_get_ns\b": "stops during suspend; records carry bpf_ktime_get_boot_ns",
    r"bpf_override_return|bpf_probe_write_user|bpf_send_signal": "the observed application is never harmed",
}


def code_of(path: Path) -> str:
    """Without comments and without the backslashes of macros."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r"[ \t]*\\\n", "\n", text)


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_nothing_forbidden_is_used(pattern: str) -> None:
    allowed = {"kernel_compat.bpf.h"} if "VERSION" in pattern else set()
    found = [name_of(path) for path in list_kernel_code() if path.name not in allowed and re.search(pattern, code_of(path))]
    assert found == [], FORBIDDEN[pattern]


def test_every_map_has_a_limit() -> None:
    maps = [(name_of(path), body) for path in list_kernel_code() for body in MAP.findall(code_of(path))]
    assert len(maps) == sum(code_of(path).count('SEC(".maps")') for path in list_kernel_code()) > 0
    assert [found for found in maps if "max_entries" not in found[1] and "_STORAGE" not in found[1]] == []


def test_what_is_reserved_is_submitted_or_handed_on_by_the_same_function() -> None:
    """A reserved record that is never submitted blocks its ring for good; with perf buffers no verifier says so."""
    forgotten = []
    for path in list_kernel_code():
        code = code_of(path)
        for reserve in re.finditer(r"RESERVE\((\w+), ACCOUNT", code):
            end = FUNCTION_END.search(code, reserve.end())
            body = code[reserve.end() : end.start() if end else None]
            if f"SUBMIT({reserve[1]}," not in body and "return record;" not in body:
                forgotten.append(f"{name_of(path)}: {reserve[1]}")
    assert forgotten == []
